internal import Engine
internal import HTTP

/// Writes a format on one worker.
@safe
final class CommandWriter {
    /// Text of the format, and the operator behind it. Plain numbers and places, so that a line counts no references.
    private struct Step {
        var literal: ByteSlice
        /// nil for the text behind the last operator.
        var command: CommandFormat.Command?
        var bytesMax = 0
        var style = CommandFormat.Style.plain
    }

    private let format: CommandFormat
    private let literals: LiteralMemory
    private let steps: UnsafeMutableBufferPointer<Step>
    private let times: [TimeText]
    private var clock = WallClock()

    init(_ format: CommandFormat) {
        self.format = format
        literals = LiteralMemory(format.literals)
        times = format.times.map(TimeText.init)
        var steps: [Step] = []
        var literal = ByteSlice.empty
        for segment in format.segments {
            switch segment {
            case .literal(let start, let count): literal = literals.slice(start, count)
            case .command(let command, let bytesMax, let style):
                steps.append(Step(literal: literal, command: command, bytesMax: bytesMax, style: style))
                literal = .empty
            }
        }
        if !literal.isEmpty { steps.append(Step(literal: literal)) }
        unsafe self.steps = .allocate(capacity: steps.count)
        _ = unsafe self.steps.initialize(fromContentsOf: steps)
    }

    deinit { unsafe steps.deallocate() }

    func write(_ context: CommandContext, to out: inout ByteWriter) {
        var line = LineWriter(out)
        for index in unsafe steps.indices {
            let step = unsafe steps[index]
            line.append(literal: step.literal)
            guard let command = step.command else { break }
            line.beginValue(step.style, bytesMax: step.bytesMax)
            if case .fact(let fact) = command {
                context.write(fact, to: &line)
            } else {
                write(command, context, to: &line)
            }
            line.endValue()
        }
        out = line.out
    }

    private func write(_ command: CommandFormat.Command, _ context: CommandContext, to value: inout LineWriter) {
        switch command {
        case .fact(let fact): context.write(fact, to: &value)
        case .request(let choice):
            if !context.writeRequest(choice.first, of: format, to: &value), let second = choice.second {
                _ = context.writeRequest(second, of: format, to: &value)
            }
        case .response(let choice): writeNote(.response, choice, context, to: &value)
        case .trailer(let choice): writeNote(.trailer, choice, context, to: &value)
        case .startTime(let index):
            let epochNs = clock.epochNs(of: context.startedNs, nowNs: context.nowNs)
            times[index].write(epochNs: epochNs) { value.append($0) }
        case .metadata(let index):
            guard let notes = unsafe context.notes else { return }
            let note = ByteSlice.withBytes(of: format.metadataKeys[index]) { notes.value(.metadata, .other($0)) }
            if let note { value.append(note) }
        }
    }

    private func writeNote(
        _ kind: StreamNotes.Kind, _ choice: CommandFormat.FieldChoice, _ context: CommandContext,
        to value: inout LineWriter
    ) {
        guard let notes = unsafe context.notes else { return }
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

/// A line on its way: each value is escaped as its place asks, and cut at its limit.
struct LineWriter {
    private(set) var out: ByteWriter
    private var style = CommandFormat.Style.plain
    private var bytesLeft = 0
    private var isOpen = false
    private var isNumber = false

    init(_ out: ByteWriter) { self.out = out }

    /// Text of the format itself, between values.
    @inline(__always)
    mutating func append(literal: ByteSlice) { out.append(literal) }

    /// - Parameter bytesMax: of the value, before it is escaped
    @inline(__always)
    mutating func beginValue(_ style: CommandFormat.Style, bytesMax: Int) {
        self.style = style
        bytesLeft = bytesMax
        isOpen = false
        isNumber = false
    }

    /// Text, or a part of it.
    mutating func append(_ bytes: ByteSlice) {
        open()
        let kept = bytes.prefix(bytesLeft)
        bytesLeft &-= kept.count
        switch style {
        case .plain: out.append(kept)
        case .text: out.append(logged: kept)
        case .jsonText, .jsonValue: out.append(json: kept)
        }
    }

    /// Text of the program, in which nothing is to be escaped.
    mutating func append(constant text: StaticString) {
        open()
        let kept = ByteSlice(text).prefix(bytesLeft)
        bytesLeft &-= kept.count
        out.append(kept)
    }

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

    @inline(__always)
    private mutating func open() {
        if !isOpen, style == .jsonValue { out.append(UInt8(ascii: "\"")) }
        isOpen = true
    }

    @inline(__always)
    mutating func endValue() {
        if !isOpen {
            switch style {
            case .plain: break
            case .text, .jsonText: out.append(UInt8(ascii: "-"))
            case .jsonValue: out.append("null")
            }
        } else if style == .jsonValue, !isNumber {
            out.append(UInt8(ascii: "\""))
        }
    }
}
