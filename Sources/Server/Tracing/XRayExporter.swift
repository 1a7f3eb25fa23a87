internal import Config
internal import Engine
internal import Filters
internal import Glibc
internal import Upstream

/// Sends segments to an AWS X-Ray daemon: a datagram each, which the daemon gathers and sends on
/// (https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-daemon). Nobody answers, so what
/// the kernel takes counts as exported.
final class XRayExporter: SpanSink {
    let plan: TracingPlan.Exporter
    private let source: SpanSource
    private let daemon: XRayDaemonConfiguration
    /// -1 when there is none.
    private let descriptor: Int32

    /// What a datagram may have.
    private static let bytesMax = 64_000
    private static let header = Array("{\"format\": \"json\", \"version\": 1}\n".utf8)

    init(_ plan: TracingPlan.Exporter, _ source: SpanSource, _ daemon: XRayDaemonConfiguration) {
        self.plan = plan
        self.source = source
        self.daemon = daemon
        descriptor = NetworkAddress(daemon.address).connectedDatagramSocket()
    }

    deinit { if descriptor >= 0 { _ = Glibc.close(descriptor) } }

    func serves(_ next: TracingPlan.Exporter, _ source: SpanSource) -> Bool {
        next.configuration.name == plan.configuration.name && next.configuration.backend == plan.configuration.backend
            && next.slot == plan.slot && source == self.source
    }

    func append(_ view: SpanView, nowNs: UInt64) {
        let exchange = ExchangeSpans(view)
        plan.stats.arrived(exchange.spans.count)
        let body = Self.header + XRaySegment(exchange, name: daemon.segmentName ?? source.serviceName).json.text.utf8
        guard body.count <= Self.bytesMax else { return plan.stats.drop(exchange.spans.count, .rejected) }
        let sent = unsafe body.withUnsafeBytes { bytes in
            unsafe send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
        }
        if sent == body.count {
            plan.stats.requestSucceeded()
            plan.stats.left(exchange.spans.count)
        } else {
            // ECONNREFUSED is the answer to an earlier datagram: the daemon is not there.
            plan.stats.requestFailed()
            plan.stats.drop(exchange.spans.count, sent < 0 && errno == EAGAIN ? .queueFull : .gaveUp)
        }
    }

    func tick(nowNs: UInt64, all: Bool) {}
    func stop() {}
}

extension NetworkAddress {
    /// A UDP socket for this address; -1 when there is none to be had.
    fileprivate func connectedDatagramSocket() -> Int32 {
        unsafe withSockaddr { address, length in
            let family = unsafe Int32(address.pointee.sa_family)
            let descriptor = socket(family, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { return -1 }
            if unsafe connect(descriptor, address, length) == 0 { return descriptor }
            _ = Glibc.close(descriptor)
            return -1
        }
    }
}
