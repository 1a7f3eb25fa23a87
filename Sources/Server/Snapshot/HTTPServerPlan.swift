internal import Config
internal import Engine
internal import Filters
internal import HTTP

/// `http:` of a listener, ready to become a filter factory on each worker.
package struct HTTPServerPlan: Sendable {
    private let configuration: HTTPConfiguration

    init(_ configuration: HTTPConfiguration) { self.configuration = configuration }

    /// Largest request body that is taken in; the routes here only answer, so it is discarded.
    private static let bodyBytesMax: UInt64 = 1 << 20

    func makeFactory() -> NetworkFilterFactory {
        let limits = HTTP1Limits(
            headerBytesMax: configuration.limits.headerBytes.bytes, headersMax: configuration.limits.headers,
            bodyBytesMax: Self.bodyBytesMax)
        return HTTPServerFilterFactory(
            settings: HTTPServerSettings(
                limits: limits, idleTimeoutNs: configuration.idleTimeout?.nanoseconds ?? 0,
                requestTimeoutNs: configuration.requestTimeout?.nanoseconds ?? 0,
                responder: DirectResponder(routes: configuration.routes)))
    }
}
