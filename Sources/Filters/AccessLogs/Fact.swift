/// The operators without an argument, by their names in Envoy.
enum Fact: String, CaseIterable, Sendable {
    case `protocol` = "PROTOCOL"
    case responseCode = "RESPONSE_CODE"
    case responseCodeDetails = "RESPONSE_CODE_DETAILS"
    case responseFlags = "RESPONSE_FLAGS"
    case responseFlagsLong = "RESPONSE_FLAGS_LONG"
    case bytesReceived = "BYTES_RECEIVED"
    case bytesSent = "BYTES_SENT"
    case duration = "DURATION"
    case requestDuration = "REQUEST_DURATION"
    case responseDuration = "RESPONSE_DURATION"
    case responseTxDuration = "RESPONSE_TX_DURATION"
    case upstreamHost = "UPSTREAM_HOST"
    case upstreamRemoteAddress = "UPSTREAM_REMOTE_ADDRESS"
    case upstreamRemoteAddressWithoutPort = "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"
    case upstreamRemotePort = "UPSTREAM_REMOTE_PORT"
    case upstreamCluster = "UPSTREAM_CLUSTER"
    case upstreamRequestAttemptCount = "UPSTREAM_REQUEST_ATTEMPT_COUNT"
    case upstreamTransportFailureReason = "UPSTREAM_TRANSPORT_FAILURE_REASON"
    case downstreamRemoteAddress = "DOWNSTREAM_REMOTE_ADDRESS"
    case downstreamRemoteAddressWithoutPort = "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"
    case downstreamRemotePort = "DOWNSTREAM_REMOTE_PORT"
    case downstreamDirectRemoteAddress = "DOWNSTREAM_DIRECT_REMOTE_ADDRESS"
    case downstreamDirectRemoteAddressWithoutPort = "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT"
    case downstreamDirectRemotePort = "DOWNSTREAM_DIRECT_REMOTE_PORT"
    case downstreamLocalAddress = "DOWNSTREAM_LOCAL_ADDRESS"
    case downstreamLocalAddressWithoutPort = "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT"
    case downstreamLocalPort = "DOWNSTREAM_LOCAL_PORT"
    case downstreamTransportFailureReason = "DOWNSTREAM_TRANSPORT_FAILURE_REASON"
    case downstreamTLSVersion = "DOWNSTREAM_TLS_VERSION"
    case downstreamTLSCipher = "DOWNSTREAM_TLS_CIPHER"
    case requestedServerName = "REQUESTED_SERVER_NAME"
    case downstreamPeerSubject = "DOWNSTREAM_PEER_SUBJECT"
    case downstreamPeerIssuer = "DOWNSTREAM_PEER_ISSUER"
    case downstreamPeerSerial = "DOWNSTREAM_PEER_SERIAL"
    case downstreamPeerFingerprint256 = "DOWNSTREAM_PEER_FINGERPRINT_256"
    case downstreamPeerURISAN = "DOWNSTREAM_PEER_URI_SAN"
    case downstreamPeerDNSSAN = "DOWNSTREAM_PEER_DNS_SAN"
    case downstreamPeerIPSAN = "DOWNSTREAM_PEER_IP_SAN"
    case traceID = "TRACE_ID"
    case spanID = "SPAN_ID"
    case routeName = "ROUTE_NAME"
    case connectionID = "CONNECTION_ID"
    case connectionTerminationDetails = "CONNECTION_TERMINATION_DETAILS"

    /// Whether it needs the addresses of the client's connection, which are asked of the kernel.
    var isAddress: Bool {
        switch self {
        case .downstreamRemoteAddress, .downstreamRemoteAddressWithoutPort, .downstreamRemotePort,
            .downstreamDirectRemoteAddress, .downstreamDirectRemoteAddressWithoutPort, .downstreamDirectRemotePort,
            .downstreamLocalAddress, .downstreamLocalAddressWithoutPort, .downstreamLocalPort:
            true
        default: false
        }
    }
}
