internal import Engine
internal import HTTP
internal import Upstream

/// What the operators of one line, or of one header value, are about: an exchange, or a connection of a `tcp:`
/// listener.
struct CommandContext {
    /// nil for a connection, which has no request.
    var stream: HTTPStream?
    var info: StreamInfo
    /// Monotonic nanoseconds.
    var startedNs: UInt64
    var nowNs: UInt64
    var flag: ResponseFlag
    /// 0 without a response.
    var status: UInt16
    var details: StaticString?
    var cluster: Cluster?
    var notes: StreamNotes?
    var attempts: UInt64
    var routeName: String?
    var connection: UInt64
    var addresses: ConnectionAddresses?
    /// The client's address as the proxies in front of this one tell it; nil for the connection's peer.
    var trustedHops: Int?
    /// The client's connection; nil when it is gone.
    var client: Connection?
    /// Of a connection: why it ended.
    var closeReason: CloseReason?

    /// An exchange, as of now.
    ///
    /// - Parameter response: the status of a head that is about to be sent
    init(_ stream: HTTPStream, response: HTTPStatus? = nil) {
        self.stream = stream
        info = stream.hot.value.info
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
        cluster = unsafe stream.route.pool?.cluster.cluster
        attempts =
            stream.route.isAttempted ? 1 + UInt64(stream.route.retries) + (stream.route.wasRepeated ? 1 : 0) : 0
        routeName = unsafe stream.route.route?.name
        notes = stream.notes
        client = stream.connection
        connection = client?.number ?? 0
        addresses = stream.codec?.manager.addresses
        trustedHops = unsafe stream.chain.settings.trustedHops
    }

    /// A connection that has ended.
    init(
        connection: Connection, startedNs: UInt64, flag: ResponseFlag, cluster: Cluster?, endpoint: Int?,
        attempts: UInt64, addresses: ConnectionAddresses?, reason: CloseReason
    ) {
        info = StreamInfo()
        info.bytesReceived = connection.bytesReceived
        info.bytesSent = connection.bytesSent
        self.startedNs = startedNs
        nowNs = connection.worker.nowNs
        self.flag = flag
        status = 0
        self.cluster = cluster
        info.endpoint = Int32(endpoint ?? -1)
        self.attempts = attempts
        client = connection
        self.connection = connection.number
        self.addresses = addresses
        closeReason = reason
    }

    /// The address of the client: the entry of `x-forwarded-for` that the number of trusted proxies points at, from
    /// the right; nil where the peer of the connection is the client. With `use_remote_address` the peer is an entry
    /// itself.
    var forwardedAddress: ByteSlice? {
        guard let stream, info.hasHead, let trustedHops, stream.request.headers.contains(.xForwardedFor) else {
            return nil
        }
        // The last entries, as many as are looked back: the oldest of them is the one.
        var recent = InlineArray<17, ByteSlice>(repeating: .empty)
        let span = min(trustedHops + 1, recent.count)
        var count = 0
        var index = stream.request.headers.firstIndex(of: .xForwardedFor)
        while let current = index {
            if let field = stream.request.headers.field(at: current) {
                var elements = ListElements(field.value)
                while let element = elements.next() {
                    recent[count % span] = element
                    count += 1
                }
            }
            index = stream.request.headers.firstIndex(of: .xForwardedFor, from: current + 1)
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
