import Clibyaml

/// What libyaml found next, and where it starts.
struct YAMLEvent {
    enum Kind {
        case documentStart
        case streamEnd
        case alias(String)
        case scalar(ConfigScalar, YAMLProperties)
        case listStart(YAMLProperties)
        case objectStart(YAMLProperties)
        /// The end of a list, an object or a document: which one follows from what was opened last.
        case end
    }

    let kind: Kind
    let position: ConfigPosition
    /// Where it stands in the text, in Unicode scalars.
    let extent: Range<Int>
}

/// The anchor (`&name`) and the explicit tag (`!name`) in front of a node.
struct YAMLProperties {
    var anchor: String?
    var tag: String?
}

/// The place where libyaml gave up, and why.
struct YAMLSyntaxError: Error {
    let problem: String
    var expected = "YAML or JSON"
    let position: ConfigPosition

    static func tooDeep(at position: ConfigPosition) -> YAMLSyntaxError {
        YAMLSyntaxError(
            problem: "more than \(ConfigDocumentLimits.depth) lists and objects within each other", position: position)
    }
}

/// Pulls events out of YAML text, one at a time. Owns the libyaml parser; borrows the text.
@safe
struct YAMLEventReader: ~Copyable {
    // libyaml stores the parser's address in the parser, so it must not move: it lives on the heap.
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let bytes: UnsafeBufferPointer<UInt8>

    /// `bytes` must be UTF-8 and outlive the reader.
    init(unsafe bytes: UnsafeBufferPointer<UInt8>) {
        unsafe self.bytes = unsafe bytes
        unsafe parser = .allocate(capacity: 1)
        let initialized = unsafe yaml_parser_initialize(parser)
        precondition(initialized == 1, "no memory for a YAML parser")
        unsafe yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        unsafe yaml_parser_set_input_string(parser, bytes.baseAddress, bytes.count)
    }

    deinit {
        unsafe yaml_parser_delete(parser)
        unsafe parser.deallocate()
    }

    mutating func next() throws(YAMLSyntaxError) -> YAMLEvent {
        var event = unsafe yaml_event_t()
        while true {
            guard unsafe yaml_parser_parse(parser, &event) == 1 else { throw syntaxError() }
            defer { unsafe yaml_event_delete(&event) }
            guard let kind = unsafe Self.kind(of: event) else { continue }
            return unsafe YAMLEvent(
                kind: kind, position: ConfigPosition(event.start_mark),
                extent: Int(event.start_mark.index)..<Int(event.end_mark.index))
        }
    }

    /// nil for the start of the stream, which says nothing.
    private static func kind(of event: yaml_event_t) -> YAMLEvent.Kind? {
        switch unsafe event.type {
        case YAML_DOCUMENT_START_EVENT:
            return .documentStart
        case YAML_STREAM_END_EVENT:
            return .streamEnd
        case YAML_ALIAS_EVENT:
            return unsafe .alias(string(event.data.alias.anchor) ?? "")
        case YAML_SCALAR_EVENT:
            let scalar = unsafe event.data.scalar
            let text = unsafe String(
                decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
            let isPlain = unsafe scalar.style == YAML_PLAIN_SCALAR_STYLE
            return unsafe .scalar(
                ConfigScalar(text, isQuoted: !isPlain),
                YAMLProperties(anchor: string(scalar.anchor), tag: string(scalar.tag)))
        case YAML_SEQUENCE_START_EVENT:
            let list = unsafe event.data.sequence_start
            return unsafe .listStart(YAMLProperties(anchor: string(list.anchor), tag: string(list.tag)))
        case YAML_MAPPING_START_EVENT:
            let object = unsafe event.data.mapping_start
            return unsafe .objectStart(YAMLProperties(anchor: string(object.anchor), tag: string(object.tag)))
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT, YAML_DOCUMENT_END_EVENT:
            return .end
        default:
            return nil
        }
    }

    private static func string(_ bytes: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        guard let bytes = unsafe bytes else { return nil }
        return unsafe String(decodingCString: bytes, as: UTF8.self)
    }

    private func syntaxError() -> YAMLSyntaxError {
        let problem = unsafe parser.pointee.problem.map { unsafe String(cString: $0) } ?? "out of memory"
        // The reader of raw bytes knows an offset only, the layers above it know a mark.
        guard unsafe parser.pointee.error != YAML_READER_ERROR else {
            let offset = unsafe min(parser.pointee.problem_offset, bytes.count)
            return YAMLSyntaxError(problem: problem, position: unsafe ConfigPosition(ofOffset: offset, in: bytes))
        }
        let mark = unsafe parser.pointee.problem_mark
        var position = ConfigPosition(mark)
        switch byte(atScalar: mark.index) {
        case nil:
            // libyaml ends the last line itself when the file does not.
            position = unsafe ConfigPosition(ofOffset: bytes.count, in: bytes)
        case UInt8(ascii: "\t"):
            return YAMLSyntaxError(problem: "a tab cannot indent", position: position)
        case UInt8(ascii: ":") where problem == "did not find expected node content":
            // Fine by YAML 1.2, but not by libyaml. `:PORT` and `::1` are what meets it here.
            return YAMLSyntaxError(
                problem: "a value within { } or [ ] starts with :", expected: "it in quotes", position: position)
        default:
            break
        }
        // Later versions of libyaml scan ahead of their events and may meet a bound of their own, 1,000 levels, before
        // the composer meets its.
        if problem.hasPrefix("Maximum nesting level") { return .tooDeep(at: position) }
        guard let context = unsafe parser.pointee.context else {
            return YAMLSyntaxError(problem: problem, position: position)
        }
        let contextPosition = unsafe ConfigPosition(parser.pointee.context_mark)
        let place = "\(contextPosition.line):\(contextPosition.column)"
        return unsafe YAMLSyntaxError(
            problem: "\(problem) \(String(cString: context)) that starts at \(place)", position: position)
    }

    /// libyaml counts scalars, the text is bytes: walks to the scalar with this number.
    private func byte(atScalar number: Int) -> UInt8? {
        var scalarsLeft = number
        for index in unsafe bytes.indices {
            let byte = unsafe bytes[index]
            if byte & 0xC0 == 0x80 { continue }
            if scalarsLeft == 0 { return byte }
            scalarsLeft -= 1
        }
        return nil
    }
}

extension ConfigPosition {
    /// libyaml counts from 0.
    fileprivate init(_ mark: yaml_mark_t) {
        self.init(line: Int(mark.line) + 1, column: Int(mark.column) + 1)
    }

    fileprivate init(ofOffset offset: Int, in bytes: UnsafeBufferPointer<UInt8>) {
        var line = 1
        var column = 1
        for index in 0..<offset {
            let byte = unsafe bytes[index]
            if byte == UInt8(ascii: "\n") {
                line += 1
                column = 1
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
        }
        self.init(line: line, column: column)
    }
}
