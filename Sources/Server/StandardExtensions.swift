package import Filters

/// Everything that configuration can name, one line each: the index of features.
package enum StandardExtensions {
    package static let networkFilters: [NetworkFilterRegistration] = [
        NetworkFilterRegistration(ConnectionRateLimitFilter.self),
        NetworkFilterRegistration(EchoFilter.self),
        NetworkFilterRegistration(IPAccessFilter.self),
        NetworkFilterRegistration(WebSocketEchoFilter.self),
    ]

    package static let httpFilters: [HTTPFilterRegistration] = [
        HTTPFilterRegistration(CORSFilter.self),
        HTTPFilterRegistration(FaultFilter.self),
        HTTPFilterRegistration(HeaderMutationFilter.self),
        HTTPFilterRegistration(LocalRateLimitFilter.self),
        HTTPFilterRegistration(RBACFilter.self),
    ]
}
