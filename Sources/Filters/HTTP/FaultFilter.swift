public import Config
public import Engine
internal import HTTP
internal import Synchronization
internal import Upstream

/// `fault`: delays requests and answers them with errors, a share of them or those that ask for it, to see what becomes
/// of those who depend on them.
///
/// A request may be delayed and then answered. A client asks with Envoy's headers `x-envoy-fault-delay-request` and
/// `x-envoy-fault-abort-request`, where the configuration lets it; a percentage in a header only lowers the share.
public final class FaultFilter: HTTPFilter, ConfigurableHTTPFilter {
    public struct Settings: Sendable {
        fileprivate var delay: Fault?
        fileprivate var abort: Fault?
        fileprivate var active: ActiveFaults
    }

    /// What happens, to which share of requests.
    fileprivate struct Fault: Sendable {
        /// Nanoseconds or a status; nil to take it from the request.
        var value: UInt64?
        var share: Percent
    }

    private enum Event: Int { case delayed, aborted }

    public static let name = "fault"
    public static var events: [String] { ["delayed", "aborted"] }
    private static let delays = TimeSpan.milliseconds(1) ... .minutes(10)
    private static let statuses = 200...599
    private static let activeMaxDefault = 10_000

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let delay = object.optional(
            "delay", .object("delay") { fault($0, "time", .duration(in: delays)) { $0.nanoseconds } })
        let abort = object.optional(
            "abort", .object("abort") { fault($0, "status", .int(in: statuses)) { UInt64($0) } })
        let activeMax = object.value("max_active", .int(in: 1...1_000_000), default: activeMaxDefault)
        if object.entry("delay") == nil, object.entry("abort") == nil {
            object.reportMissing("\"delay\" or \"abort\"", expected: "at least one of them")
        }
        guard object.finish() else { return nil }
        return Settings(delay: delay, abort: abort, active: ActiveFaults(max: activeMax))
    }

    private static func fault<Value>(
        _ object: ConfigObject, _ key: String, _ format: ConfigFormat<Value>, _ number: (Value) -> UInt64
    ) -> Fault? {
        let value = object.optional(key, format)
        let fromHeader = object.value("from_header", .bool, default: false)
        let share = object.value("percentage", .percent, default: Percent(partsPerMillion: 1_000_000))
        if object.entry(key) == nil, !fromHeader {
            object.reportMissing("\"\(key)\" or \"from_header: true\"", expected: "one of them")
            return nil
        }
        if object.entry(key) != nil { object.atMostOne(of: [key, "from_header"]) }
        return Fault(value: value.map(number), share: share)
    }

    private let settings: Settings
    private var random: SplitMix64
    /// The stream's word while it is delayed.
    private static let delayed: UInt64 = 1

    private static let delayHeader = FaultHeader("x-envoy-fault-delay-request")
    private static let abortHeader = FaultHeader("x-envoy-fault-abort-request")

    public init(settings: Settings, worker: Worker) {
        self.settings = settings
        var system = SystemRandomNumberGenerator()
        random = SplitMix64(seed: system.next())
        super.init()
    }

    public override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        if let ns = delayNs(of: stream), settings.active.enter() {
            stream.filterState[index] = Self.delayed
            stream.flag = .delayInjected
            count(Event.delayed)
            stream.startTimer(for: self, afterNs: ns)
            return .pause
        }
        guard let response = abortion(of: stream) else { return .proceed }
        return .respond(response, .faultInjected)
    }

    public override func onTimer(_ stream: HTTPStream) {
        leave(stream)
        if let response = abortion(of: stream) {
            stream.respond(response, flag: .faultInjected)
        } else {
            stream.resumeRequest()
        }
    }

    public override func onStreamEnd(_ stream: HTTPStream) { leave(stream) }

    private func leave(_ stream: HTTPStream) {
        guard stream.filterState[index] == Self.delayed else { return }
        stream.filterState[index] = 0
        settings.active.leave()
    }

    private func delayNs(of stream: HTTPStream) -> UInt64? {
        guard let delay = settings.delay else { return nil }
        guard let ns = delay.value else {
            guard let ms = Self.delayHeader.value(in: stream.request),
                ms <= Self.delays.upperBound.nanoseconds / 1_000_000, ms > 0,
                happens(Self.delayHeader.share(in: stream.request, atMost: delay.share))
            else { return nil }
            return ms * 1_000_000
        }
        return happens(delay.share.partsPerMillion) ? ns : nil
    }

    private func abortion(of stream: HTTPStream) -> LocalResponse? {
        guard let abort = settings.abort else { return nil }
        var status = abort.value
        if let status, status > 0 {
            guard happens(abort.share.partsPerMillion) else { return nil }
        } else {
            status = Self.abortHeader.value(in: stream.request)
            guard let status, Self.statuses.contains(Int(clamping: status)),
                happens(Self.abortHeader.share(in: stream.request, atMost: abort.share))
            else { return nil }
        }
        count(Event.aborted)
        stream.hot.value.info.details = "fault_filter_abort"
        return LocalResponse(HTTPStatus(rawValue: UInt16(clamping: status ?? 0)), text: "fault filter abort\n")
    }

    private func happens(_ partsPerMillion: UInt32) -> Bool {
        if partsPerMillion == 1_000_000 { return true }
        return UInt32.random(in: 0..<1_000_000, using: &random) < partsPerMillion
    }
}

/// A header by which a client asks for a fault, and the one with its percentage.
private struct FaultHeader: Sendable {
    private let key: HeaderKey
    private let percentageKey: HeaderKey

    init(_ name: String) {
        guard let key = HeaderKey(name), let percentageKey = HeaderKey("\(name)-percentage") else {
            preconditionFailure("these are header names")
        }
        self.key = key
        self.percentageKey = percentageKey
    }

    func value(in head: borrowing RequestHead) -> UInt64? { head.headers[key]?.decimal }

    /// Parts per million. A header has whole percents, and does not raise what the configuration says.
    func share(in head: borrowing RequestHead, atMost share: Percent) -> UInt32 {
        guard let percents = head.headers[percentageKey]?.decimal, percents < 100 else { return share.partsPerMillion }
        return min(UInt32(percents) * 10_000, share.partsPerMillion)
    }
}

/// Requests that are being delayed, over all workers.
private final class ActiveFaults: Sendable {
    private let max: Int
    private let count = Atomic<Int>(0)

    init(max: Int) { self.max = max }

    /// False when there are as many as there may be.
    func enter() -> Bool {
        if count.add(1, ordering: .relaxed).newValue <= max { return true }
        leave()
        return false
    }

    func leave() { count.subtract(1, ordering: .relaxed) }
}
