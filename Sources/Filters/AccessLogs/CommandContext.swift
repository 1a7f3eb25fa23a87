internal import Engine
internal import HTTP
internal import Upstream

/// What the operators of one line, or of one header value, are about: an exchange, or a connection of a `tcp:`
/// listener.
///
/// A view for the length of a call, in which all that it is about stays. What most lines tell is at hand without a
/// reference that is counted; the objects are for the rest.
struct CommandContext {
    /// nil for a connection, which has no request.
    unowned(unsafe) let stream: HTTPStream?
    /// nil where there is none that was understood.
    let head: Stable<RequestHead>?
    let trace: Stable<TraceState>?
    var info: StreamInfo
    /// Monotonic nanoseconds.
    var startedNs: UInt64
    var nowNs: UInt64
    var flag: ResponseFlag
    /// 0 without a response.
    var status: UInt16
    var details: StaticString?
    /// nil where it went nowhere.
    var clusterNames: ClusterNames?
    unowned(unsafe) let notes: StreamNotes?
    var attempts: UInt64
    /// Empty without one.
    let routeName: ByteSlice
    /// Of the client's connection; nil where nobody asked in time.
    var remote: ConnectionAddresses.Address?
    var local: ConnectionAddresses.Address?
    /// The client's address as the proxies in front of this one tell it; nil for the connection's peer.
    var trustedHops: Int?
    /// Of a connection.
    private let ownClient: Connection?
    unowned(unsafe) var ownCluster: Cluster?
    /// Of a connection: why it ended.
    var closeReason: CloseReason?

    /// An exchange, as of now.
    ///
    /// - Parameter response: the status of a head that is about to be sent
    init(_ stream: HTTPStream, response: HTTPStatus? = nil) {
        unsafe self.stream = stream
        info = stream.hot.value.info
        head = info.hasHead ? stream.requestHead : nil
        trace = stream.trace
        startedNs = stream.hot.value.startedNs
        nowNs = stream.worker.nowNs
        flag = stream.hot.value.flag
        status = response?.rawValue ?? (stream.hot.value.responseStarted ? stream.hot.value.status.rawValue : 0)
        if let known = info.details {
            details = known
        } else if flag == .none {
            details = status == 0 ? nil : info.isLocal ? flag.details : "via_upstream"
        } else {
            details = flag.details
        }
        clusterNames = stream.route.clusterNames
        attempts =
            stream.route.isAttempted ? 1 + UInt64(stream.route.retries) + (stream.route.wasRepeated ? 1 : 0) : 0
        routeName = stream.route.routeName
        unsafe notes = info.hasNotes ? stream.ownNotes : nil
        trustedHops = stream.settings.trustedHops
        ownClient = nil
        unsafe ownCluster = nil
        var addresses: (ConnectionAddresses.Address?, ConnectionAddresses.Address?) = (nil, nil)
        stream.withCodec { codec in
            codec.withManager { addresses = ($0.addresses?.remote, $0.addresses?.local) }
        }
        (remote, local) = addresses
    }

    /// A connection that has ended.
    init(
        connection: Connection, startedNs: UInt64, flag: ResponseFlag, cluster: Cluster?, endpoint: Int?,
        attempts: UInt64, addresses: ConnectionAddresses?, reason: CloseReason
    ) {
        unsafe stream = nil
        head = nil
        trace = nil
        info = StreamInfo()
        info.bytesReceived = connection.bytesReceived
        info.bytesSent = connection.bytesSent
        self.startedNs = startedNs
        nowNs = connection.worker.nowNs
        self.flag = flag
        status = 0
        unsafe ownCluster = cluster
        clusterNames = cluster?.names
        info.endpoint = Int32(endpoint ?? -1)
        self.attempts = attempts
        ownClient = connection
        unsafe notes = nil
        routeName = .empty
        remote = addresses?.remote
        local = addresses?.local
        closeReason = reason
    }

    /// The client's connection; nil when it is gone.
    var client: Connection? { unsafe stream?.connection ?? ownClient }

    var endpoint: Endpoint? {
        let cluster = unsafe ownCluster ?? stream?.route.pool?.cluster.cluster
        guard let cluster, cluster.endpoints.indices.contains(Int(info.endpoint)) else { return nil }
        return cluster.endpoints[Int(info.endpoint)]
    }

    /// The address of the client: the entry of `x-forwarded-for` that the number of trusted proxies points at, from
    /// the right; nil where the peer of the connection is the client. With `use_remote_address` the peer is an entry
    /// itself.
    var forwardedAddress: ByteSlice? {
        guard let head, let trustedHops, head.value.headers.contains(.xForwardedFor) else { return nil }
        // The last entries, as many as are looked back: the oldest of them is the one.
        var recent = InlineArray<17, ByteSlice>(repeating: .empty)
        let span = min(trustedHops + 1, recent.count)
        var count = 0
        var index = head.value.headers.firstIndex(of: .xForwardedFor)
        while let current = index {
            if let field = head.value.headers.field(at: current) {
                var elements = ListElements(field.value)
                while let element = elements.next() {
                    recent[count % span] = element
                    count += 1
                }
            }
            index = head.value.headers.firstIndex(of: .xForwardedFor, from: current + 1)
        }
        guard count >= span else { return nil }
        let entry = recent[count % span]
        return entry.looksLikeIPAddress ? entry : nil
    }
}

extension ByteSlice {
    /// Made of what addresses are made of: a proxy that writes names or `unknown` tells no address.
    fileprivate var looksLikeIPAddress: Bool {
        for index in 0..<count {
            switch self[index] {
            case UInt8(ascii: "0")...UInt8(ascii: ":"), UInt8(ascii: "."): continue
            case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): continue
            default: return false
            }
        }
        return !isEmpty
    }
}
