internal import Engine
internal import HTTP
internal import Upstream

/// What the router knows of one request.
struct RouterState {
    // Not counted: route and pool live as long as the chain, and a connection says goodbye before it goes.
    unowned(unsafe) var route: Route?
    unowned(unsafe) var pool: HTTPConnectionPool?
    // Of route and pool, at hand: each look at an uncounted object counts it for as long as it takes.
    var clusterCounters: StatsScope?
    var routeID: ObjectIdentifier?
    var poolID: ObjectIdentifier?
    var clusterNames: ClusterNames?
    /// Empty without one.
    var routeName = ByteSlice.empty
    var detectsOutliers = false
    /// Where the route counts; 0 for nowhere.
    var routeCell: UInt32 = 0
    var hasRetry = false
    var hasMirrors = false
    var hasResponseEdits = false
    /// 0 for no limit, both.
    var timeoutNs: UInt64 = 0
    var perTryTimeoutNs: UInt64 = 0
    /// The connection that the request is on, or that is being made for it.
    unowned(unsafe) var upstream: UpstreamConnection?
    /// The first of the copies that want the rest of the request. They are there until they are detached.
    unowned(unsafe) var mirror: RequestMirror?
    /// Copies were started, or it was decided that there are none.
    var isMirrored = false
    /// The request's head was written there.
    var isReady = false
    var isPending = false
    var isAttempted = false
    /// Some of the body went upstream: the request cannot be sent again.
    var bodySent = false
    /// All of the body that went upstream, as long as the request can be sent again.
    var keptBody: [UInt8] = []
    var offersTunnel = false
    var isTunnel = false
    /// The one repetition after a connection that was closed while idle.
    var wasRepeated = false
    /// Repetitions because an endpoint refused the request before it looked at it.
    var refusals = 0
    /// What the client of gRPC gives the request altogether; 0 for no limit.
    var deadlineNs: UInt64 = 0
    /// A retry of the policy is under way and counted.
    var isRetry = false
    var retries = 0
    var tried = TriedEndpoints()
    var attemptStartedNs: UInt64 = 0
    /// The time for the response is limited, by the codec or by `routeTimer`.
    var hasDeadline = false
    var routeTimer = TaskTimer.none
    var tryTimer = TaskTimer.none
    /// Why a response that had begun breaks off, as the client is told.
    var breakCause = StreamReset.truncated
    var backOffTimer = TaskTimer.none

    mutating func clear() { self = RouterState() }

    /// The next try goes elsewhere, if there is an elsewhere.
    mutating func exclude(_ endpoint: Int) {
        guard let pool = unsafe pool else { return }
        tried.insert(endpoint)
        let all = 0..<pool.cluster.cluster.endpoints.count
        if all.allSatisfy({ tried.contains($0) }) { tried = TriedEndpoints() }
    }
}

extension BodyLength {
    /// There is no body, or one of no bytes.
    var isEmpty: Bool { self == .none || self == .exactly(0) }
}
