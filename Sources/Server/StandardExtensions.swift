public import Filters

/// Everything that configuration can name, one line each: the index of features.
package enum StandardExtensions {
    package static let networkFilters: [NetworkFilterRegistration] = [
        NetworkFilterRegistration(ConnectionRateLimitFilter.self),
        NetworkFilterRegistration(EchoFilter.self),
        NetworkFilterRegistration(IPAccessFilter.self),
        NetworkFilterRegistration(WebSocketEchoFilter.self),
    ]

    package static let httpFilters: [HTTPFilterRegistration] = [
        HTTPFilterRegistration(BasicAuthFilter.self),
        HTTPFilterRegistration(BodyLimitFilter.self),
        HTTPFilterRegistration(BufferFilter.self),
        HTTPFilterRegistration(CORSFilter.self),
        HTTPFilterRegistration(FaultFilter.self),
        HTTPFilterRegistration(HeaderMutationFilter.self),
        HTTPFilterRegistration(CSRFFilter.self),
        HTTPFilterRegistration(DirectResponseFilter.self),
        HTTPFilterRegistration(ExternalAuthorizationFilter.self),
        HTTPFilterRegistration(GRPCWebFilter.self),
        HTTPFilterRegistration(HealthCheckFilter.self),
        HTTPFilterRegistration(LocalRateLimitFilter.self),
        HTTPFilterRegistration(RBACFilter.self),
    ]
}

/// What configuration can name in one program: everything standard, and what the program adds.
public struct Extensions: Sendable {
    package let networkFilters: [NetworkFilterRegistration]
    package let httpFilters: [HTTPFilterRegistration]

    /// - Parameters:
    ///   - networkFilters: besides the standard ones; one with the name of a standard one takes its place
    ///   - httpFilters: likewise
    public init(networkFilters: [NetworkFilterRegistration] = [], httpFilters: [HTTPFilterRegistration] = []) {
        self.networkFilters = StandardExtensions.networkFilters + networkFilters
        self.httpFilters = StandardExtensions.httpFilters + httpFilters
    }
}
