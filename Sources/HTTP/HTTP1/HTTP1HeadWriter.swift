/// How a head that we write says where the body ends.
package enum HTTP1LengthField: Hashable, Sendable {
    /// No field: there is no body, or the connection's end is its end.
    case none
    /// `Content-Length` with this many bytes.
    case contentLength(UInt64)
    /// `Transfer-Encoding: chunked`.
    case chunked
    /// No body, but `Content-Length` stays as the upstream gave it: responses to HEAD and 304 (RFC 9110 §8.6).
    case asReceived
}

/// What a head that we write says about the connection.
package enum HTTP1ConnectionField: Hashable, Sendable {
    /// Nothing: HTTP/1.1 stays open.
    case none
    /// `Connection: close`.
    case close
    /// `Connection: keep-alive`, for HTTP/1.0 clients that asked for it.
    case keepAlive
    /// `Connection: upgrade`, and the `Upgrade` fields are handed on.
    case upgrade
}

// Heads are written from what was understood, never copied from the input: the start line and the fields on which
// framing and routing rest are made anew, hop-by-hop fields are left out, the others keep order and spelling.
// Nothing allocates. Check `ByteWriter.fits` at the end.

extension RequestHead {
    /// Writes the head for an HTTP/1.1 upstream: in origin form, with `Host` first and the framing fields last.
    ///
    /// `Host` is empty when the request came without one, which only HTTP/1.0 may (RFC 9112 §3.2): set an authority
    /// before, if the upstream wants one.
    package func writeHTTP1(
        to out: inout ByteWriter, length: HTTP1LengthField, connection: HTTP1ConnectionField = .none
    ) {
        out.append(methodText)
        out.append(UInt8(ascii: " "))
        switch targetForm {
        case .origin, .absolute:
            out.append(path)
            if let query {
                out.append(UInt8(ascii: "?"))
                out.append(query)
            }
        case .authority: out.append(authority)
        case .asterisk: out.append(UInt8(ascii: "*"))
        }
        out.append(" HTTP/1.1\r\nHost: ")
        out.append(authority)
        out.append("\r\n")
        headers.writeHTTP1Fields(to: &out, omitting: .writtenInRequests)
        headers.writeHTTP1Framing(to: &out, length: length, connection: connection)
    }
}

extension ResponseHead {
    /// Writes the head for an HTTP/1.x client, the framing fields last. The version is 1.1 whatever the client
    /// speaks (RFC 9110 §6.2); the reason phrase is the registered one.
    package func writeHTTP1(
        to out: inout ByteWriter, length: HTTP1LengthField, connection: HTTP1ConnectionField = .none
    ) {
        if status == .ok {
            out.append("HTTP/1.1 200 OK\r\n")
        } else {
            out.append("HTTP/1.1 ")
            out.append(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: status.rawValue / 100 % 10))
            out.append(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: status.rawValue / 10 % 10))
            out.append(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: status.rawValue % 10))
            out.append(UInt8(ascii: " "))
            out.append(status.reasonPhrase)
            out.append("\r\n")
        }
        headers.writeHTTP1Fields(to: &out, omitting: length == .asReceived ? .hopByHop : .writtenInResponses)
        headers.writeHTTP1Framing(to: &out, length: length, connection: connection)
    }
}

extension HeaderTable {
    /// Known names to leave out, as a bit per raw value; all of them are below 64.
    struct Omitted {
        let bits: UInt64

        // Computed, so that they are constants: a stored static costs a call each time it is read.
        static var hopByHop: Omitted {
            Omitted(
                bits: bit(.connection) | bit(.transferEncoding) | bit(.upgrade) | bit(.te) | bit(.keepAlive)
                    | bit(.proxyConnection) | bit(.http2Settings))
        }
        static var writtenInRequests: Omitted {
            Omitted(bits: hopByHop.bits | bit(.host) | bit(.contentLength))
        }
        static var writtenInResponses: Omitted {
            Omitted(bits: hopByHop.bits | bit(.contentLength))
        }

        private static func bit(_ name: HeaderName) -> UInt64 { 1 << UInt64(name.rawValue) }

        @inline(__always)
        func contains(_ knownName: UInt8) -> Bool { knownName < 64 && bits &>> UInt64(knownName) & 1 != 0 }
    }

    /// Writes every field that may be forwarded.
    ///
    /// Neighbours that stand in the head byte for byte as they would be written are copied together: each byte of
    /// such a run was checked as name, colon, space, value or CRLF when the head was parsed.
    func writeHTTP1Fields(to out: inout ByteWriter, omitting omitted: Omitted) {
        var runStart = 0
        var runEnd = 0
        var index = 0
        while index < entryCount {
            let entry = entry(at: index)
            index &+= 1
            if omitted.contains(entry.knownName) || !entry.flags.isDisjoint(with: HeaderEntry.unforwardable) {
                continue
            }
            if entry.flags.contains(.canonical) {
                if Int(entry.name) != runEnd || runEnd == 0 {
                    if runEnd > 0 { out.append(slice(at: UInt32(runStart), length: runEnd &- runStart)) }
                    runStart = Int(entry.name)
                }
                runEnd = Int(entry.value) &+ Int(entry.valueLength) &+ 2  // the CRLF behind the value
            } else {
                if runEnd > 0 { out.append(slice(at: UInt32(runStart), length: runEnd &- runStart)) }
                runEnd = 0
                writeField(entry, to: &out)
            }
        }
        if runEnd > 0 { out.append(slice(at: UInt32(runStart), length: runEnd &- runStart)) }
    }

    /// Writes the fields that are always ours, and the empty line.
    func writeHTTP1Framing(to out: inout ByteWriter, length: HTTP1LengthField, connection: HTTP1ConnectionField) {
        switch length {
        case .none, .asReceived: break
        case .contentLength(let count):
            out.append("Content-Length: ")
            out.append(decimal: count)
            out.append("\r\n")
        case .chunked: out.append("Transfer-Encoding: chunked\r\n")
        }
        switch connection {
        case .none: break
        case .close: out.append("Connection: close\r\n")
        case .keepAlive: out.append("Connection: keep-alive\r\n")
        case .upgrade:
            out.append("Connection: upgrade\r\n")
            var next = firstIndex(of: .upgrade)
            while let index = next {
                writeField(entry(at: index), to: &out)
                next = firstIndex(of: .upgrade, from: index + 1)
            }
        }
        out.append("\r\n")
    }

    private func writeField(_ entry: HeaderEntry, to out: inout ByteWriter) {
        out.append(name(of: entry))
        out.append(": ")
        out.append(value(of: entry))
        out.append("\r\n")
    }
}
