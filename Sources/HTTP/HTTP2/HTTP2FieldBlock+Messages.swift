// What a complete header block means (RFC 9113 §8.3). The rules are those of the HTTP/1.1 parsers wherever both versions
// have one, so that a message that is accepted here can go on in HTTP/1.1 and mean the same there.

extension HTTP2FieldBlock {
    /// Makes the block the head of a request. The head's bytes are those of `text`: they move with `moveSource(to:)`.
    ///
    /// - Parameters:
    ///   - head: freshly reset
    ///   - endsStream: nothing follows the block
    ///   - allowsExtendedConnect: `:protocol` may be used (RFC 8441)
    package mutating func finishRequest(
        into head: inout RequestHead, limits: HTTP1Limits, endsStream: Bool, allowsExtendedConnect: Bool
    ) -> HTTPMessageError? {
        if let error { return error }
        let pseudoHeaders = pseudoHeaders
        guard pseudoHeaders.contains(.method) else { return .missingPseudoHeader }
        guard !pseudoHeaders.contains(.status) else { return .invalidPseudoHeader }
        move(to: &head.headers)
        head.version = .http2
        let methodText = text(method)
        guard methodText.isToken else { return .invalidMethod }
        guard methodText.count <= HTTP1RequestLine.methodBytesMax else { return .methodTooLong }
        head.method = HTTPMethod(methodText)
        head.methodRange = method

        if let error = finishTarget(&head, limits: limits, allowsExtendedConnect: allowsExtendedConnect) {
            return error
        }
        if let error = finishAuthority(&head) { return error }
        if fields.options.contains(.expectOther) { return .unsupportedExpectation }
        head.expectsContinue = fields.options.contains(.expectContinue)
        head.acceptsTrailers = fields.options.contains(.teTrailers)
        if hasCookies, !head.headers.join(.cookie, separator: ByteSlice("; ")) { return .headersTooLarge }

        if head.method == .connect {
            if fields.hasContentLength { return .bodyInConnect }
            head.bodyLength = .none
            return pseudoHeaders.contains(.connectProtocol) ? finishUpgrade(&head) : nil
        }
        if fields.hasContentLength {
            if fields.contentLength > limits.bodyBytesMax { return .bodyTooLarge }
            if endsStream, fields.contentLength > 0 { return .contentLengthMismatch }
            head.bodyLength = .exactly(fields.contentLength)
        } else {
            head.bodyLength = endsStream ? .none : .unknown
        }
        return nil
    }

    /// RFC 8441 §5: what HTTP/1.1 asks for by GET and `Upgrade` is asked for by CONNECT and `:protocol`. Everything behind
    /// this sees the first.
    private func finishUpgrade(_ head: inout RequestHead) -> HTTPMessageError? {
        head.method = .get
        head.methodRange = TextRange()
        head.offersUpgrade = true
        return head.headers.add(.upgrade, text(connectProtocol)) ? nil : .headersTooLarge
    }

    /// `:scheme` and `:path` (RFC 9113 §8.3.1), CONNECT (§8.5) and its extended form (RFC 8441 §4).
    private func finishTarget(
        _ head: inout RequestHead, limits: HTTP1Limits, allowsExtendedConnect: Bool
    ) -> HTTPMessageError? {
        let pseudoHeaders = pseudoHeaders
        if pseudoHeaders.contains(.connectProtocol) {
            guard allowsExtendedConnect, head.method == .connect else { return .invalidPseudoHeader }
            guard text(connectProtocol).isToken else { return .invalidPseudoHeader }
        } else if head.method == .connect {
            guard pseudoHeaders.isDisjoint(with: [.scheme, .path]) else { return .invalidPseudoHeader }
            guard pseudoHeaders.contains(.authority) else { return .missingPseudoHeader }
            guard let authority = Authority(text(authority)), authority.port != nil else {
                return .invalidConnectTarget
            }
            head.targetForm = .authority
            return nil
        }
        guard pseudoHeaders.isSuperset(of: [.scheme, .path]) else { return .missingPseudoHeader }
        let schemeText = text(scheme)
        if schemeText.equalsIgnoringCase("https") {
            head.scheme = .https
        } else if schemeText == "http" || schemeText.equalsIgnoringCase("http") {
            head.scheme = .http
        } else {
            return .unsupportedScheme
        }
        return finishPath(&head, limits: limits)
    }

    private func finishPath(_ head: inout RequestHead, limits: HTTP1Limits) -> HTTPMessageError? {
        let target = text(path)
        guard target.count <= limits.targetBytesMax else { return .targetTooLong }
        if target == "*" {
            head.targetForm = .asterisk
            return head.method == .options ? nil : .asteriskTarget
        }
        guard target.first == UInt8(ascii: "/") else { return .invalidTarget }
        var queryMark: Int?
        var index = 0
        while index < target.count {
            let stops = target.vector(at: index).targetStops
            if stops == 0 {
                index += 16
                continue
            }
            index += stops.trailingZeroBitCount
            guard index < target.count else { break }
            let byte = target[index]
            if byte == UInt8(ascii: "?") {
                if queryMark == nil { queryMark = index }
            } else if !ASCII.isTarget(byte) {
                guard limits.acceptsUnencodedTargets, ASCII.isUnwiseTarget(byte) else {
                    return byte == UInt8(ascii: "#") ? .fragmentInTarget : .invalidTarget
                }
            }
            index += 1
        }
        let start = Int(path.location)
        head.targetForm = .origin
        head.pathRange = TextRange(start..<start + (queryMark ?? target.count))
        if let queryMark {
            head.hasQuery = true
            head.queryRange = TextRange(start + queryMark + 1..<start + target.count)
        }
        return nil
    }

    /// RFC 9113 §8.3.1: `:authority`, or `Host` in its place; both may not name different places.
    private func finishAuthority(_ head: inout RequestHead) -> HTTPMessageError? {
        guard fields.hostCount < 2 else { return .repeatedHost }
        if pseudoHeaders.contains(.authority) {
            guard Authority(text(authority)) != nil else { return .invalidAuthority }
            head.authorityRange = authority
            guard fields.hostCount == 1 else { return nil }
            let host = text(fields.hostRange)
            guard Authority(host) != nil else { return .invalidHost }
            let defaultPort: UInt16? =
                switch head.scheme {
                case .http: 80
                case .https: 443
                case .unspecified: nil
                }
            return Authority.same(text(authority), host, defaultPort: defaultPort) ? nil : .hostMismatch
        }
        guard fields.hostCount == 1 else { return .missingHost }
        guard Authority(text(fields.hostRange)) != nil else { return .invalidHost }
        head.authorityRange = fields.hostRange
        return nil
    }

    /// Makes the block the head of a response to a request with this method.
    package mutating func finishResponse(
        into head: inout ResponseHead, answering method: HTTPMethod, limits: HTTP1Limits, endsStream: Bool
    ) -> HTTPMessageError? {
        if let error { return error }
        guard pseudoHeaders == .status else {
            return pseudoHeaders.isEmpty ? .missingPseudoHeader : .invalidPseudoHeader
        }
        let digits = text(status)
        guard digits.count == 3, let code = digits.decimal, code >= 100 else { return .invalidStatus }
        move(to: &head.headers)
        head.version = .http2
        head.status = HTTPStatus(rawValue: UInt16(code))
        // RFC 9113 §8.6: HTTP/2 does not switch protocols.
        if head.status == .switchingProtocols { return .unexpectedSwitch }
        if head.status.isInformational, endsStream || fields.hasContentLength { return .misplacedFrame }
        if method == .connect, head.status.codeClass == 2 {
            head.switchesProtocol = true
            head.bodyLength = .none
        } else if method == .head || head.status.neverHasBody {
            head.bodyLength = .none
        } else if fields.hasContentLength {
            if fields.contentLength > limits.bodyBytesMax { return .bodyTooLarge }
            if endsStream, fields.contentLength > 0 { return .contentLengthMismatch }
            head.bodyLength = .exactly(fields.contentLength)
        } else {
            head.bodyLength = endsStream ? .none : .unknown
        }
        return nil
    }

    /// Makes the block trailers (RFC 9113 §8.1). Those that may not be forwarded are marked.
    package mutating func finishTrailers(into table: inout HeaderTable) -> HTTPMessageError? {
        if let error { return error }
        guard pseudoHeaders.isEmpty else { return .invalidPseudoHeader }
        move(to: &table)
        for index in table.indices {
            guard let name = HeaderName(rawValue: table.entry(at: index).knownName) else { continue }
            if name.isForbiddenInTrailers { table.insertFlag(.forbiddenInTrailers, at: index) }
        }
        return nil
    }

    private mutating func move(to table: inout HeaderTable) {
        table.setSource(text)
        for index in 0..<entries.count { table.appendParsed(entries[index]) }
    }
}
