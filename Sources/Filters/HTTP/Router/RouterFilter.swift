internal import Engine
internal import HTTP
package import Upstream

/// The end of every chain of HTTP filters: finds the route of a request, and answers it or sends it to an endpoint,
/// with retries and time-outs. What it knows of one request is the stream's `RouterState`.
///
/// How a request is tried, and tried again, is in `+Tries` and `+Retries`; what passes through on its way to the
/// endpoint and back in `+Request`, `+Mirrors` and `+Response`; how long all of it may take in `+Timers`.
package final class RouterFilter {
    private let table: RouteTable
    /// This worker's.
    private let regexes: RouteRegexes
    /// By the number of their cluster in the table.
    let pools: [HTTPConnectionPool]
    let settings: HTTPChainSettings
    /// Where routes count, by their number in the table: the first cell of each.
    private let routeCells: [UInt32]
    var random: SplitMix64
    /// Made with the first copy of a request.
    var mirrorStore: RequestMirrorStore?

    /// - Parameter regexes: those of the table for the worker that this is for
    package init(
        table: RouteTable, regexes: RouteRegexes, pools: [HTTPConnectionPool], settings: HTTPChainSettings,
        routeCells: [UInt32] = [], seed: UInt64
    ) {
        precondition(pools.count == table.clusterNames.count, "every cluster of a route has a pool")
        self.table = table
        self.regexes = regexes
        self.pools = pools
        self.settings = settings
        self.routeCells = routeCells
        random = SplitMix64(seed: seed)
    }

    // MARK: Requests

    /// The route of a request as it is now.
    func findRoute(_ stream: HTTPStream) -> Route? { table.route(for: stream.request, regexes) }

    /// The request has passed the filters.
    func route(_ stream: HTTPStream) {
        guard let index = table.routeIndex(for: stream.request, regexes) else {
            stream.respond(.notFound, flag: .noRouteFound, text: "no route matches\n")
            return
        }
        table.withRoute(at: index) { route in
            unsafe stream.route.route = route
            stream.route.routeID = ObjectIdentifier(route)
            stream.route.routeName = route.nameText.bytes
            stream.route.hasResponseEdits = !route.responseHeaders.isEmpty
            if index < routeCells.count { stream.count(for: routeCells[index]) }
            if let cluster = route.onlyCluster {
                forward(stream, route, to: pools[cluster])
            } else {
                act(stream, route)
            }
        }
    }

    /// What is more than handing the request on to the one cluster of its route.
    private func act(_ stream: HTTPStream, _ route: Route) {
        switch route.action {
        case .redirect(let redirect): self.redirect(stream, redirect)
        case .respond(let response):
            stream.respond(response.status, flag: .none, bytes: response.body) { _ = response.addHeaders(to: &$0) }
        case .cluster, .weighted, .clusterHeader:
            guard let index = table.clusterIndex(of: route, for: stream.request, random: random.next()) else {
                stream.respond(
                    .serviceUnavailable, flag: .noClusterFound, text: "no cluster has the name in the request\n")
                return
            }
            forward(stream, route, to: pools[index])
        }
    }

    private func redirect(_ stream: HTTPStream, _ redirect: RouteRedirect) {
        let isSecure = stream.request.headers[.xForwardedProto].map { $0.equalsIgnoringCase("https") } ?? false
        let capacity = stream.request.path.count + (stream.request.query?.count ?? 0) + 20_000
        var hasHost = false
        var fits = false
        let location = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            guard let start = buffer.baseAddress else { return }
            var writer = unsafe ByteWriter(start: start, capacity: capacity)
            hasHost = redirect.writeLocation(
                for: stream.request, scheme: isSecure ? .https : .http, regexes, to: &writer)
            fits = writer.fits
            count = fits ? writer.count : 0
        }
        guard hasHost else {
            stream.respond(.badRequest, flag: .none, text: "the request names no host\n")
            return
        }
        guard fits else {
            stream.respond(.requestHeaderFieldsTooLarge, flag: .none, text: "the location is too long\n")
            return
        }
        stream.respond(redirect.status, flag: .none, bytes: .empty) { headers in
            ByteSlice.withBytes(of: location) { _ = headers.add(.location, $0) }
        }
    }

    private func forward(_ stream: HTTPStream, _ route: Route, to pool: HTTPConnectionPool) {
        unsafe stream.route.pool = pool
        stream.route.poolID = ObjectIdentifier(pool)
        stream.route.clusterCounters = pool.cluster.counters
        stream.route.clusterNames = pool.cluster.cluster.names
        stream.route.detectsOutliers = pool.cluster.detectsOutliers
        stream.route.timeoutNs = route.timeoutNs
        stream.route.perTryTimeoutNs = route.perTryTimeoutNs
        stream.route.hasRetry = route.hasRetry
        stream.route.hasMirrors = !route.mirrors.isEmpty
        stream.route.deadlineNs = GRPC.isRequest(stream.request) ? GRPC.timeoutNs(stream.request) ?? 0 : 0
        // A client of gRPC counts from the beginning of its request.
        if stream.requestEnded || stream.route.deadlineNs > 0 { startRouteTimer(stream) }
        stream.withCodec { $0.setIdleTimeout(ns: route.idleTimeoutNs, of: stream) }
        if stream.request.method == .connect {
            guard route.upgrades.allowConnect else {
                stream.respond(.forbidden, flag: .none, text: "CONNECT is not allowed here\n")
                return
            }
            stream.route.offersTunnel = true
        } else if stream.request.offersUpgrade, !route.upgrades.isEmpty, stream.request.bodyLength.isEmpty {
            // An upgrade that is not allowed is ignored, as RFC 9110 §7.8 lets a server do.
            stream.route.offersTunnel = allowsUpgrade(stream, route)
        }
        if stream.request.isExtendedConnect, !stream.route.offersTunnel {
            stream.respond(.forbidden, flag: .none, text: "this protocol is not allowed here\n")
            return
        }
        // The request of a tunnel never ends, but its answer is waited for like any other.
        if stream.route.offersTunnel { startRouteTimer(stream) }
        if stream.request.authority.isEmpty, let local = stream.connection?.localAddress {
            // RFC 9112 §3.2: what leaves as HTTP/1.1 has a host; HTTP/1.0 clients need not name one.
            let name = local.isUnix ? "localhost" : local.description
            ByteSlice.withBytes(of: name) { _ = stream.request.setAuthority($0) }
        }
        guard prepare(&stream.request, route) else {
            stream.respond(.requestHeaderFieldsTooLarge, flag: .none, text: "too many header bytes\n")
            return
        }
        attempt(stream, on: pool, fresh: false)
    }

    private func allowsUpgrade(_ stream: HTTPStream, _ route: Route) -> Bool {
        var index = stream.request.headers.firstIndex(of: .upgrade)
        while let current = index {
            guard let field = stream.request.headers.field(at: current), route.upgrades.allow(field.value) else {
                return false
            }
            index = stream.request.headers.firstIndex(of: .upgrade, from: current + 1)
        }
        return true
    }

    /// The head as the endpoint gets it. False when it has no room for all of it.
    private func prepare(_ head: inout RequestHead, _ route: Route) -> Bool {
        if route.rewrite.changesPath, !head.path.isEmpty {
            guard head.headers.set(.xEnvoyOriginalPath, head.path) else { return false }
        }
        guard route.rewrite.apply(to: &head, regexes), route.requestHeaders.apply(to: &head.headers) else {
            return false
        }
        guard route.timeoutNs > 0 else { return true }
        return ByteSlice.withDecimal(route.timeoutNs / 1_000_000) { head.headers.set(.xEnvoyExpectedRqTimeoutMs, $0) }
    }
}

extension ByteSlice {
    /// Runs `body` on the decimal digits of `value`.
    static func withDecimal<R>(_ value: UInt64, _ body: (ByteSlice) -> R) -> R {
        unsafe withUnsafeTemporaryAllocation(byteCount: 20, alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { preconditionFailure("twenty bytes are on the stack") }
            var writer = unsafe ByteWriter(start: start, capacity: 20)
            writer.append(decimal: value)
            return body(unsafe ByteSlice(start: start, count: writer.count))  // written just now
        }
    }
}
