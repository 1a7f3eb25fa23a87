internal import Engine
internal import HTTP

/// Writes a format on one worker.
final class CommandWriter {
    private let format: CommandFormat
    private let times: [TimeText]
    private var clock = WallClock()

    init(_ format: CommandFormat) {
        self.format = format
        times = format.times.map(TimeText.init)
    }

    func write(_ context: CommandContext, to out: inout ByteWriter) {
        ByteSlice.withBytes(of: format.literals) { literals in
            for segment in format.segments {
                switch segment {
                case .literal(let start, let count): out.append(literals[start..<(start &+ count)])
                case .command(let command, let bytesMax, let style):
                    var value = ValueWriter(out: out, style: style, bytesMax: bytesMax)
                    write(command, context, to: &value)
                    out = value.finished()
                }
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
            let choice = format.fields[index]
            if !context.writeRequest(choice.first, to: &value), let second = choice.second {
                _ = context.writeRequest(second, to: &value)
            }
        case .response(let index): writeNote(.response, format.fields[index], context, to: &value)
        case .trailer(let index): writeNote(.trailer, format.fields[index], context, to: &value)
        case .metadata(let index):
            ByteSlice.withBytes(of: format.metadataKeys[index]) { key in
                if let note = context.stream?.notes?.value(.metadata, key) { value.append(note) }
            }
        }
    }

    private func writeNote(
        _ kind: StreamNotes.Kind, _ choice: CommandFormat.FieldChoice, _ context: CommandContext,
        to value: inout ValueWriter
    ) {
        guard let notes = context.stream?.notes else { return }
        let note = note(kind, choice.first, notes) ?? choice.second.flatMap { self.note(kind, $0, notes) }
        if let note { value.append(note) }
    }

    private func note(_ kind: StreamNotes.Kind, _ name: FieldName, _ notes: StreamNotes) -> ByteSlice? {
        guard case .field(_, let text) = name else { return nil }
        return ByteSlice.withBytes(of: text) { notes.value(kind, $0) }
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
