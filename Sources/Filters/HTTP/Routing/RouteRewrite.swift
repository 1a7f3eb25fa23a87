internal import Config
package import HTTP

/// Another path and another host for the upstream.
package struct RouteRewrite: Sendable {
    private let path: PathReplacement
    private let host: RouteText?

    init(
        _ configuration: RewriteConfiguration, of match: PathMatch, in memory: RouteMemory,
        regexes: inout RegexNumbers
    ) {
        path = PathReplacement(configuration.path, of: match, in: memory, regexes: &regexes)
        host = configuration.host.map(memory.store)
    }

    /// Whether the upstream sees another path; Envoy keeps the old one in `x-envoy-original-path` then.
    package var changesPath: Bool { path.isChange }
    package var changesHost: Bool { host != nil }

    /// Changes path and authority. The slices of the old ones stay valid until the head is reset.
    ///
    /// - Returns: false when the head has no room for them.
    package func apply(to head: inout RequestHead, _ regexes: RouteRegexes) -> Bool {
        // CONNECT and `OPTIONS *` have no path to change.
        if path.isChange, !head.path.isEmpty {
            let old = head.path
            let isSet = unsafe withUnsafeTemporaryAllocation(byteCount: path.room(for: old), alignment: 1) { buffer in
                guard let start = buffer.baseAddress else { return false }
                var writer = unsafe ByteWriter(start: start, capacity: buffer.count)
                path.write(for: old, regexes, to: &writer)
                guard writer.fits else { return false }
                return head.setPath(unsafe ByteSlice(start: start, count: writer.count))  // written just now
            }
            guard isSet else { return false }
        }
        guard let host else { return true }
        return head.setAuthority(host.bytes)
    }
}

/// A path made from the path of a request.
struct PathReplacement: Sendable {
    private enum Kind: Sendable {
        case none
        case whole
        /// So many bytes of the path go away.
        case prefix(Int)
        /// By its number in `RouteRegexes`.
        case regex(Int, RouteSubstitution)
        case template(RouteTemplateRewrite)
    }

    private let kind: Kind
    private let text: RouteText

    /// Bytes that a path may have at most once its parts have been replaced, besides twice its length.
    private static let regexRoom = 8192

    init(_ rewrite: PathRewrite?, of match: PathMatch, in memory: RouteMemory, regexes: inout RegexNumbers) {
        var text = ""
        switch (rewrite, match) {
        case (nil, _): kind = .none
        case (.whole(let path), _): (kind, text) = (.whole, path)
        case (.prefix(let replacement), .prefix(let prefix)): (kind, text) = (.prefix(prefix.utf8.count), replacement)
        case (.template(let rewrite), .template(let template)):
            kind = .template(RouteTemplateRewrite(rewrite, of: template, in: memory))
        case (.regex(let pattern, let substitution), _):
            kind = .regex(regexes.number(of: pattern), RouteSubstitution(substitution, in: memory))
        case (.prefix, _), (.template, _): preconditionFailure("what is replaced was matched")
        }
        self.text = memory.store(text)
    }

    var isChange: Bool { if case .none = kind { false } else { true } }

    /// Bytes of memory for `write`. It needs more only where a pattern's parts are repeated beyond any use.
    func room(for path: ByteSlice) -> Int {
        switch kind {
        case .none, .whole, .prefix: path.count + text.bytes.count
        case .template(let rewrite): rewrite.room(for: path)
        case .regex: path.count * 2 + Self.regexRoom
        }
    }

    /// - Parameter path: one that the route matched
    func write(for path: ByteSlice, _ regexes: RouteRegexes, to out: inout ByteWriter) {
        switch kind {
        case .none: out.append(path)
        case .whole: out.append(text.bytes)
        case .prefix(let count):
            out.append(text.bytes)
            out.append(path[min(count, path.count)..<path.count])
        case .template(let rewrite): rewrite.write(for: path, to: &out)
        case .regex(let index, let substitution): regexes.replace(index, in: path, with: substitution, to: &out)
        }
    }
}
