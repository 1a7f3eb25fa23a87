internal import Config
package import HTTP

/// Sends a client to another URL.
package struct RouteRedirect: Sendable {
    package let status: HTTPStatus
    private let path: PathReplacement
    private let host: RouteText?
    private let scheme: RequestHead.Scheme?
    private let port: UInt16?
    private let dropsQuery: Bool

    init(
        _ configuration: RedirectConfiguration, of match: PathMatch, in memory: RouteMemory,
        regexes: inout RegexNumbers
    ) {
        status = HTTPStatus(rawValue: UInt16(configuration.status))
        path = PathReplacement(configuration.path, of: match, in: memory, regexes: &regexes)
        host = configuration.host.map(memory.store)
        scheme = configuration.scheme.map { $0 == .https ? .https : .http }
        port = configuration.port
        let bringsQuery = if case .whole(let path) = configuration.path { path.contains("?") } else { false }
        dropsQuery = configuration.stripsQuery || bringsQuery
    }

    /// Writes the value of `location`, always a whole URL, as Envoy does.
    ///
    /// - Parameters:
    ///   - requestScheme: what the client spoke, `x-forwarded-proto` considered; unspecified is `http`
    ///   - out: has room, or measures how much is needed
    /// - Returns: false, with nothing of use written, for a request without a host that is given none: 400 then
    package func writeLocation(
        for head: borrowing RequestHead, scheme requestScheme: RequestHead.Scheme, _ regexes: RouteRegexes,
        to out: inout ByteWriter
    ) -> Bool {
        let isSecure = requestScheme == .https
        let goesSecure = scheme.map { $0 == .https } ?? isSecure
        let authority = host?.bytes ?? self.authority(of: head, isSecure: isSecure, goesSecure: goesSecure)
        guard !authority.isEmpty else { return false }
        out.append(goesSecure ? "https://" : "http://")
        out.append(authority)
        if let port {
            out.append(UInt8(ascii: ":"))
            out.append(decimal: UInt64(port))
        }
        path.write(for: head.path, regexes, to: &out)
        if !dropsQuery, let query = head.query {
            out.append(UInt8(ascii: "?"))
            out.append(query)
        }
        return true
    }

    /// The host of the request, with the port it named unless another one is right now.
    private func authority(of head: borrowing RequestHead, isSecure: Bool, goesSecure: Bool) -> ByteSlice {
        let authority = head.authority
        let name = authority.withoutPort
        if port != nil { return name }
        guard isSecure != goesSecure, name.count < authority.count else { return authority }
        let isDefault = authority[name.count..<authority.count] == (isSecure ? ":443" : ":80")
        return isDefault ? name : authority
    }
}
