internal import HTTP

/// What is written down during an exchange for the end of it: response fields that a log asks for, whose head is gone
/// by then, and what filters have to say (`HTTPStream.setMetadata`).
///
/// Made when the first note is taken, and kept with its stream. Bounded: what does not fit is cut or left out.
@safe
final class StreamNotes {
    enum Kind: UInt8 { case response, trailer, metadata }

    enum Name {
        case known(HeaderName)
        /// In lower case.
        case other(ByteSlice)
    }

    private struct Entry {
        var kind: Kind
        /// nil for a name that is in the memory.
        var known: HeaderName?
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
    func set(_ kind: Kind, _ name: Name, _ value: ByteSlice) {
        if let index = index(of: kind, name) {
            entries[index].valueStart = used
            entries[index].valueCount = keep(value)
            return
        }
        guard entries.count < Self.entriesMax else { return }
        var entry = Entry(kind: kind, known: nil, keyStart: used, keyCount: 0, valueStart: used, valueCount: 0)
        switch name {
        case .known(let known): entry.known = known
        case .other(let key):
            guard key.count < Self.bytesMax - used else { return }
            entry.keyCount = keep(key)
        }
        entry.valueStart = used
        entry.valueCount = keep(value)
        entries.append(entry)
    }

    /// Good until `removeAll`.
    func value(_ kind: Kind, _ name: Name) -> ByteSlice? {
        index(of: kind, name).map { text(entries[$0].valueStart, entries[$0].valueCount) }
    }

    private func index(of kind: Kind, _ name: Name) -> Int? {
        for index in entries.indices where entries[index].kind == kind {
            switch name {
            case .known(let known): if entries[index].known == known { return index }
            case .other(let key):
                if entries[index].known == nil, text(entries[index].keyStart, entries[index].keyCount) == key {
                    return index
                }
            }
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
