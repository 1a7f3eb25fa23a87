internal import HTTP

/// What is written down during an exchange for the end of it: response fields that a log asks for, whose head is gone
/// by then, and what filters have to say (`HTTPStream.setMetadata`).
///
/// Made when the first note is taken, and kept with its stream. Bounded: what does not fit is cut or left out.
@safe
final class StreamNotes {
    enum Kind: UInt8 { case response, trailer, metadata }

    private struct Entry {
        var kind: Kind
        var keyStart: Int
        var keyCount: Int
        var valueStart: Int
        var valueCount: Int
    }

    static let bytesMax = 4096
    static let entriesMax = 32

    private let memory = UnsafeMutableRawPointer.allocate(byteCount: StreamNotes.bytesMax, alignment: 1)
    private var used = 0
    private var entries: [Entry] = []

    init() { entries.reserveCapacity(Self.entriesMax) }

    deinit { unsafe memory.deallocate() }

    func removeAll() {
        used = 0
        entries.removeAll(keepingCapacity: true)
    }

    /// Takes down a value, in place of an earlier one of the same name.
    func set(_ kind: Kind, _ key: ByteSlice, _ value: ByteSlice) {
        if let index = entries.firstIndex(where: { $0.kind == kind && text($0.keyStart, $0.keyCount) == key }) {
            entries[index].valueStart = used
            entries[index].valueCount = keep(value)
            return
        }
        guard entries.count < Self.entriesMax, key.count < Self.bytesMax - used else { return }
        let keyStart = used
        let keyCount = keep(key)
        let valueStart = used
        entries.append(
            Entry(
                kind: kind, keyStart: keyStart, keyCount: keyCount, valueStart: valueStart, valueCount: keep(value)))
    }

    /// Good until `removeAll`.
    func value(_ kind: Kind, _ key: ByteSlice) -> ByteSlice? {
        for entry in entries where entry.kind == kind && text(entry.keyStart, entry.keyCount) == key {
            return text(entry.valueStart, entry.valueCount)
        }
        return nil
    }

    /// Copies as much as there is room for, and answers how much.
    private func keep(_ bytes: ByteSlice) -> Int {
        let count = min(bytes.count, Self.bytesMax - used)
        bytes.prefix(count).withSpan { span in
            unsafe span.withUnsafeBytes { source in
                guard let start = source.baseAddress else { return }
                unsafe (memory + used).copyMemory(from: start, byteCount: source.count)  // used + count <= bytesMax
            }
        }
        used += count
        return count
    }

    private func text(_ start: Int, _ count: Int) -> ByteSlice {
        unsafe ByteSlice(start: memory + start, count: count)  // written by `keep`, and not moved until the end
    }
}
