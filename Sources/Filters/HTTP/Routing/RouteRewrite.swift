internal import Config
package import HTTP

/// Another path and another host for the upstream.
package struct RouteRewrite: Sendable {
    private let path: PathReplacement
    private let host: RouteText?

    init(_ configuration: RewriteConfiguration, of match: PathMatch, in memory: RouteMemory) {
        path = PathReplacement(configuration.path, of: match, in: memory)
        host = configuration.host.map(memory.store)
    }

    /// Whether the upstream sees another path; Envoy keeps the old one in `x-envoy-original-path` then.
    package var changesPath: Bool { path.isChange }
    package var changesHost: Bool { host != nil }

    /// Changes path and authority. The slices of the old ones stay valid until the head is reset.
    ///
    /// - Returns: false when the head has no room for them.
    package func apply(to head: inout RequestHead) -> Bool {
        // CONNECT and `OPTIONS *` have no path to change.
        if path.isChange, !head.path.isEmpty {
            let old = head.path
            let isSet = unsafe withUnsafeTemporaryAllocation(byteCount: path.room(for: old), alignment: 1) { buffer in
                guard let start = buffer.baseAddress else { return false }
                var writer = unsafe ByteWriter(start: start, capacity: buffer.count)
                path.write(for: old, to: &writer)
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
    }

    private let kind: Kind
    private let text: RouteText

    init(_ rewrite: PathRewrite?, of match: PathMatch, in memory: RouteMemory) {
        switch rewrite {
        case nil: (kind, text) = (.none, memory.store(""))
        case .whole(let path): (kind, text) = (.whole, memory.store(path))
        case .prefix(let replacement):
            let matchedCount = if case .prefix(let prefix) = match { prefix.utf8.count } else { 0 }
            (kind, text) = (.prefix(matchedCount), memory.store(replacement))
        }
    }

    var isChange: Bool { if case .none = kind { false } else { true } }

    /// Bytes that `write` needs at most.
    func room(for path: ByteSlice) -> Int { path.count + text.bytes.count }

    /// - Parameter path: one that the route matched
    func write(for path: ByteSlice, to out: inout ByteWriter) {
        switch kind {
        case .none: out.append(path)
        case .whole: out.append(text.bytes)
        case .prefix(let count):
            out.append(text.bytes)
            out.append(path[min(count, path.count)..<path.count])
        }
    }
}
