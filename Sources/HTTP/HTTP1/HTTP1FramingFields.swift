/// What the fields of a head say about framing, host and connection, noted while the lines are read.
///
/// Judged line by line where one line is enough, and by the `finish` of each parser where it takes several.
struct HTTP1FramingFields {
    /// Tokens of `Connection`, and of other fields, that were seen.
    struct Options: OptionSet {
        let rawValue: UInt16
        static let close = Options(rawValue: 1)
        static let keepAlive = Options(rawValue: 2)
        static let upgrade = Options(rawValue: 4)
        /// `Connection` names fields that are not hop-by-hop by themselves.
        static let namedFields = Options(rawValue: 8)
        /// `TE` lists `trailers`.
        static let teTrailers = Options(rawValue: 16)
        /// There is an `Upgrade` field.
        static let upgradeField = Options(rawValue: 32)
        /// `Expect: 100-continue`.
        static let expectContinue = Options(rawValue: 64)
        /// `Expect` with anything else.
        static let expectOther = Options(rawValue: 128)
        /// `Upgrade` lists `h2c`.
        static let upgradeToH2C = Options(rawValue: 256)
    }

    enum TransferEncoding: UInt8 { case none, chunked, unsupported }

    private(set) var options: Options = []
    private(set) var transferEncoding = TransferEncoding.none
    private(set) var hasContentLength = false
    private(set) var contentLength: UInt64 = 0
    /// Number of `Host` fields, counted up to two.
    private(set) var hostCount: UInt8 = 0
    private(set) var hostRange = TextRange()

    /// Takes note of a field for which `HeaderName.concernsFraming` holds; `value` is where its value stands, without
    /// white space around it.
    @inline(__always)
    mutating func note(_ name: HeaderName, in bytes: ByteSlice, _ value: Range<Int>) -> HTTPMessageError? {
        // Every request has a Host and most have this Connection; they get by without a call.
        if name == .host {
            hostCount = min(hostCount &+ 1, 2)
            hostRange = TextRange(value)
            return nil
        }
        if name == .connection, bytes[value].isKeepAlive {
            options.insert(.keepAlive)
            return nil
        }
        return note(name, bytes[value])
    }

    @inline(never)
    private mutating func note(_ name: HeaderName, _ value: ByteSlice) -> HTTPMessageError? {
        switch name {
        case .connection: return noteConnection(value)
        case .contentLength: return noteContentLength(value)
        case .transferEncoding: return noteTransferEncoding(value)
        case .upgrade:
            options.insert(.upgradeField)
            var protocols = ListElements(value)
            while let element = protocols.next() {
                if element.equalsIgnoringCase("h2c") { options.insert(.upgradeToH2C) }
            }
            return nil
        case .expect:
            options.insert(value.equalsIgnoringCase("100-continue") ? .expectContinue : .expectOther)
            return nil
        case .te:
            var elements = ListElements(value)
            while let element = elements.next() {
                if element.equalsIgnoringCase("trailers") { options.insert(.teTrailers) }
            }
            return nil
        default:
            return nil
        }
    }

    /// Whether the connection stays open behind this message (RFC 9112 §9.3).
    func isPersistent(_ version: HTTPVersion) -> Bool {
        if options.contains(.close) { return false }
        return version == .http10 ? options.contains(.keepAlive) : true
    }

    /// RFC 9112 §6.3: both lengths, or a length that is no number, leave no certain end of the message.
    var lengthConflict: HTTPMessageError? {
        hasContentLength && transferEncoding != .none ? .contentLengthAndTransferEncoding : nil
    }

    private mutating func noteContentLength(_ value: ByteSlice) -> HTTPMessageError? {
        if hasContentLength { return .repeatedContentLength }
        hasContentLength = true
        if let number = value.decimal {
            // 63 bits, so that the sum of a length and a count of bytes never overflows.
            guard number <= UInt64(Int64.max) else { return .contentLengthOverflow }
            contentLength = number
            return nil
        }
        guard !value.isEmpty else { return .invalidContentLength }
        if value.firstIndex(of: UInt8(ascii: ",")) != nil { return .repeatedContentLength }
        for index in 0..<value.count where !ASCII.isDigit(value[index]) { return .invalidContentLength }
        return .contentLengthOverflow
    }

    /// Accepted is one field with the one word `chunked`. Codings that we could only hand on unread are refused like
    /// the malformed ones: the receiver may see another end of the message than we do.
    private mutating func noteTransferEncoding(_ value: ByteSlice) -> HTTPMessageError? {
        if transferEncoding != .none { return .invalidTransferEncoding }
        if value.equalsIgnoringCase("chunked") {
            transferEncoding = .chunked
            return nil
        }
        transferEncoding = .unsupported
        // With `chunked` once and last it is well-formed and merely more than we do.
        var chunkedCount = 0
        var isLast = false
        var elements = ListElements(value)
        while let element = elements.next() {
            guard element.isToken else { return .invalidTransferEncoding }
            isLast = element.equalsIgnoringCase("chunked")
            if isLast { chunkedCount += 1 }
        }
        return chunkedCount == 1 && isLast && elements.count > 1
            ? .unsupportedTransferEncoding : .invalidTransferEncoding
    }

    private mutating func noteConnection(_ value: ByteSlice) -> HTTPMessageError? {
        var elements = ListElements(value)
        while let element = elements.next() {
            if element.equalsIgnoringCase("keep-alive") {
                options.insert(.keepAlive)
            } else if element.equalsIgnoringCase("close") {
                options.insert(.close)
            } else if element.equalsIgnoringCase("upgrade") {
                options.insert(.upgrade)
            } else {
                guard element.isToken else { return .invalidConnectionOption }
                switch HeaderName(element) {
                case .host, .contentLength, .transferEncoding: return .invalidConnectionOption
                case let name? where name.isHopByHop: break
                default: options.insert(.namedFields)
                }
            }
        }
        return nil
    }
}

extension ByteSlice {
    /// Whether this is `keep-alive` in any case, as two words that overlap.
    @inline(__always)
    fileprivate var isKeepAlive: Bool {
        // First byte lowest; the hyphen must be one, so it is not folded.
        count == 10 && word(at: 0) | 0x2020_2000_2020_2020 == 0x696C_612D_7065_656B  // keep-ali
            && word(at: 2) | 0x2020_2020_2000_2020 == 0x6576_696C_612D_7065  // ep-alive
    }
}

extension HeaderTable {
    /// Marks the fields that `Connection` names as hop-by-hop (RFC 9110 §7.6.1).
    mutating func markFieldsNamedByConnection() {
        var next = firstIndex(of: .connection)
        while let index = next {
            var elements = ListElements(value(of: entry(at: index)))
            while let element = elements.next() { markHopByHop(named: element) }
            next = firstIndex(of: .connection, from: index + 1)
        }
    }
}
