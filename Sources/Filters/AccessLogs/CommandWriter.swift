internal import Engine
internal import HTTP

/// Writes a format on one worker.
final class CommandWriter {
    private let format: CommandFormat
    private let literals: LiteralMemory
    private let times: [TimeText]
    private var clock = WallClock()

    init(_ format: CommandFormat) {
        self.format = format
        literals = LiteralMemory(format.literals)
        times = format.times.map(TimeText.init)
    }

    func write(_ context: CommandContext, to out: inout ByteWriter) {
        for segment in format.segments {
            switch segment {
            case .literal(let start, let count): out.append(literals.slice(start, count))
            case .command(let command, let bytesMax, let style):
                var value = ValueWriter(out: out, style: style, bytesMax: bytesMax)
                write(command, context, to: &value)
                out = value.finished()
            }
        }
    }

    private func write(_ command: CommandFormat.Command, _ context: CommandContext, to value: inout ValueWriter) {
        switch command {
        case .fact(let fact): context.write(fact, to: &value)
        case .startTime(let index):
            let epochNs = clock.epochNs(of: context.startedNs, nowNs: context.nowNs)
            times[index].write(epochNs: epochNs) { value.append($0) }
        case .request(let index):
            if !context.writeRequest(format.fields[index].first, of: format, to: &value),
                let second = format.fields[index].second
            {
                _ = context.writeRequest(second, of: format, to: &value)
            }
        case .response(let index): writeNote(.response, format.fields[index], context, to: &value)
        case .trailer(let index): writeNote(.trailer, format.fields[index], context, to: &value)
        case .metadata(let index):
            guard let notes = context.notes else { return }
            let note = ByteSlice.withBytes(of: format.metadataKeys[index]) { notes.value(.metadata, .other($0)) }
            if let note { value.append(note) }
        }
    }

    private func writeNote(
        _ kind: StreamNotes.Kind, _ choice: CommandFormat.FieldChoice, _ context: CommandContext,
        to value: inout ValueWriter
    ) {
        guard let notes = context.notes else { return }
        if let note = note(kind, choice.first, notes) {
            value.append(note)
        } else if let second = choice.second, let note = note(kind, second, notes) {
            value.append(note)
        }
    }

    private func note(_ kind: StreamNotes.Kind, _ name: FieldName, _ notes: StreamNotes) -> ByteSlice? {
        switch name {
        case .known(let known): notes.value(kind, .known(known))
        case .other(let index):
            ByteSlice.withBytes(of: format.otherNames[index].bytes) { notes.value(kind, .other($0)) }
        case .method, .path, .authority, .scheme: nil
        }
    }
}

/// The text between operators, at an address of its own.
@safe
private final class LiteralMemory {
    private let start: UnsafeMutableRawPointer
    private let count: Int

    init(_ bytes: [UInt8]) {
        count = bytes.count
        unsafe start = .allocate(byteCount: max(bytes.count, 1), alignment: 1)
        unsafe UnsafeMutableRawBufferPointer(start: start, count: bytes.count).copyBytes(from: bytes)
    }

    deinit { unsafe start.deallocate() }

    func slice(_ offset: Int, _ length: Int) -> ByteSlice {
        precondition(offset >= 0 && length >= 0 && offset + length <= count, "literals are inside of their memory")
        return unsafe ByteSlice(start: start + offset, count: length)
    }
}

/// One value on its way into a line: what comes is escaped as its place asks, and cut at its limit.
struct ValueWriter {
    private var out: ByteWriter
    private let style: CommandFormat.Style
    private var bytesLeft: Int
    private var isOpen = false
    private var isNumber = false

    init(out: ByteWriter, style: CommandFormat.Style, bytesMax: Int) {
        self.out = out
        self.style = style
        bytesLeft = bytesMax
    }

    /// Text, or a part of it.
    mutating func append(_ bytes: ByteSlice) {
        if !isOpen, style == .jsonValue { out.append(UInt8(ascii: "\"")) }
        isOpen = true
        let kept = bytes.prefix(bytesLeft)
        bytesLeft -= kept.count
        switch style {
        case .plain: out.append(kept)
        case .text: out.append(logged: kept)
        case .jsonText, .jsonValue: out.append(json: kept)
        }
    }

    mutating func append(_ text: StaticString) { append(ByteSlice(text)) }

    mutating func append(utf8 text: String) {
        _ = unsafe text.utf8.withContiguousStorageIfAvailable { buffer in
            guard let start = buffer.baseAddress else { return }
            append(unsafe ByteSlice(start: start, count: buffer.count))  // the string outlives the call
        }
    }

    /// A number, all of the value.
    mutating func append(_ number: UInt64) {
        isOpen = true
        isNumber = true
        out.append(decimal: number)
    }

    /// The writer behind the value.
    consuming func finished() -> ByteWriter {
        if !isOpen {
            switch style {
            case .plain: break
            case .text, .jsonText: out.append(UInt8(ascii: "-"))
            case .jsonValue: out.append("null")
            }
        } else if style == .jsonValue, !isNumber {
            out.append(UInt8(ascii: "\""))
        }
        return out
    }
}
