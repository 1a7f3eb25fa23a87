/// What was special about an exchange, in Envoy's words (`%RESPONSE_FLAGS%`).
public enum ResponseFlag: UInt8, CaseIterable, Sendable {
    case none
    case noRouteFound
    case noClusterFound
    case noHealthyUpstream
    case upstreamConnectionFailure
    case upstreamConnectionTermination
    case upstreamRequestTimeout
    case upstreamOverflow
    case downstreamConnectionTermination
    case downstreamRemoteReset
    case downstreamProtocolError
    case streamIdleTimeout
    case durationTimeout
    case rateLimited
    case delayInjected
    case faultInjected
    case unauthorizedExternalService

    /// As access logs and `x-ringway-reason` write it; `-` for none.
    public var label: StaticString {
        switch self {
        case .none: "-"
        case .noRouteFound: "NR"
        case .noClusterFound: "NC"
        case .noHealthyUpstream: "UH"
        case .upstreamConnectionFailure: "UF"
        case .upstreamConnectionTermination: "UC"
        case .upstreamRequestTimeout: "UT"
        case .upstreamOverflow: "UO"
        case .downstreamConnectionTermination: "DC"
        case .downstreamRemoteReset: "DR"
        case .downstreamProtocolError: "DPE"
        case .streamIdleTimeout: "SI"
        case .durationTimeout: "DT"
        case .rateLimited: "RL"
        case .delayInjected: "DI"
        case .faultInjected: "FI"
        case .unauthorizedExternalService: "UAEX"
        }
    }
}
