internal import Engine
internal import HTTP
internal import Upstream

/// Copies of a request for other clusters, which see what the endpoint sees.
extension RouterFilter {
    /// Where the route itself has no limit.
    private static let mirrorTimeoutNs: UInt64 = 15_000_000_000

    /// Starts the copies of the route.
    ///
    /// Not before the request has its connection: copies that held connections while their requests wait for some
    /// could keep them waiting.
    func mirror(_ stream: HTTPStream, _ route: Route) {
        stream.route.isMirrored = true
        let store = mirrorStore ?? RequestMirrorStore(worker: stream.worker, headersMax: settings.limits.headersMax)
        mirrorStore = store
        let isComplete = stream.requestEnded && !stream.holdsRequestBody
        let timeoutNs = route.timeoutNs > 0 ? route.timeoutNs : Self.mirrorTimeoutNs
        for index in route.mirrors.indices where route.mirrors[index].takes(random.next()) {
            let pool = pools[route.mirrors[index].cluster]
            guard let mirror = store.take() else {
                pool.cluster.counters.add(to: ClusterStat.mirrorsRefused)
                continue
            }
            if mirror.start(stream.request, to: pool, timeoutNs: timeoutNs, isComplete: isComplete) {
                unsafe mirror.next = stream.route.mirror
                unsafe stream.route.mirror = mirror
            }
        }
    }

    /// Runs `body` on each copy that still wants to know of this request.
    @inline(__always)
    func forEachMirror(_ stream: HTTPStream, _ body: (RequestMirror) -> Void) {
        var next = unsafe stream.route.mirror
        while let mirror = next {
            unsafe next = mirror.next
            body(mirror)
        }
    }

    /// The copies do without what may still come.
    func detachMirrors(_ stream: HTTPStream) {
        guard unsafe stream.route.mirror != nil else { return }
        forEachMirror(stream) { $0.detach() }
        unsafe stream.route.mirror = nil
    }
}
