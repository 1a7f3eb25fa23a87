package import Config
package import HTTP

/// When and how a request is tried again, as Envoy does it.
package struct RetryPolicy: Sendable {
    /// Tries after the first one.
    package let attempts: Int
    /// 0 for no limit but that of the route.
    package let perTryTimeoutNs: UInt64
    /// The n-th wait is a random time below `backOffBaseNs * (2^n - 1)`, and below `backOffMaxNs`.
    package let backOffBaseNs: UInt64
    package let backOffMaxNs: UInt64
    /// Retries in flight as a share of the cluster's requests; nil for the cluster's own limit.
    package let budget: Percent?
    package let onConnectFailure: Bool
    package let onRefusedStream: Bool
    /// Any end without a response, connect failures and refused streams included.
    package let onReset: Bool
    /// A bit for each status from 400 to 655.
    private let statuses: InlineArray<4, UInt64>
    /// A bit for each status of gRPC.
    private let grpcStatuses: UInt32

    /// Envoy's cap, `max_interval`.
    private static let backOffMaxFactor: UInt64 = 10
    private static let firstStatus = ConfigLimits.retryStatus.lowerBound

    init(_ configuration: RetryConfiguration) {
        attempts = configuration.attempts
        perTryTimeoutNs = configuration.perTryTimeout?.nanoseconds ?? 0
        backOffBaseNs = configuration.backOff.nanoseconds
        backOffMaxNs = backOffBaseNs * Self.backOffMaxFactor
        budget = configuration.budget
        let conditions = configuration.conditions
        // No response at all would have become a 5xx.
        onReset = !conditions.isDisjoint(with: [.reset, .serverError, .gatewayError])
        onConnectFailure = onReset || conditions.contains(.connectFailure)
        onRefusedStream = onReset || conditions.contains(.refusedStream)
        var statuses = InlineArray<4, UInt64>(repeating: 0)
        let add = { (status: Int) in
            statuses[(status - Self.firstStatus) / 64] |= 1 << UInt64((status - Self.firstStatus) % 64)
        }
        configuration.statuses.forEach(add)
        if conditions.contains(.serverError) { (500...599).forEach(add) }
        if conditions.contains(.gatewayError) { [502, 503, 504].forEach(add) }
        self.statuses = statuses
        let grpc: KeyValuePairs<Int, RetryConditions> = [
            1: .cancelled, 4: .deadlineExceeded, 8: .resourceExhausted, 13: .internal, 14: .unavailable,
        ]
        grpcStatuses = grpc.reduce(0) { conditions.contains($1.value) ? $0 | 1 << UInt32($1.key) : $0 }
    }

    /// Whether a response that says this status of gRPC in its head, and has nothing else, is thrown away for another
    /// try.
    package func retries(grpcStatus: Int) -> Bool { grpcStatuses &>> UInt32(grpcStatus) & 1 != 0 }

    /// Whether a response with this status is thrown away for another try.
    package func retries(_ status: HTTPStatus) -> Bool {
        let offset = Int(status.rawValue) - Self.firstStatus
        guard offset >= 0, offset < 256 else { return false }
        return statuses[offset / 64] &>> UInt64(offset % 64) & 1 != 0
    }
}

/// Which protocols a client may switch to.
package struct RouteUpgrades: Sendable {
    private let allowsAny: Bool
    private let protocols: RouteArray<RouteText>

    init(_ policy: UpgradePolicy, in memory: RouteMemory) {
        switch policy {
        case .none: (allowsAny, protocols) = (false, RouteArray())
        case .any: (allowsAny, protocols) = (true, RouteArray())
        case .protocols(let names): (allowsAny, protocols) = (false, memory.store(names.map(memory.store)))
        }
    }

    /// Whether requests that offer an upgrade are looked at at all.
    package var isEmpty: Bool { !allowsAny && protocols.isEmpty }

    /// Whether everything that an `Upgrade` field offers (RFC 9110 §7.8) is allowed: the upstream may choose any of it.
    /// `h2c` has to be named: within it requests would pass that nobody looks at.
    package func allow(_ upgrade: ByteSlice) -> Bool {
        var offers = ListElements(upgrade)
        while let offer = offers.next() {
            let name = offer[0..<(offer.firstIndex(of: UInt8(ascii: "/")) ?? offer.count)]
            guard names(name) || allowsAny && !name.equalsIgnoringCase("h2c") else { return false }
        }
        return offers.count > 0
    }

    /// Whether CONNECT (RFC 9110 §9.3.6) may open a tunnel; only by name.
    package var allowConnect: Bool { names(ByteSlice("connect")) }

    private func names(_ name: ByteSlice) -> Bool {
        for index in protocols.indices where protocols[index].bytes.equalsIgnoringCase(name) { return true }
        return false
    }
}

/// Several clusters that share a route's requests by weight.
package struct WeightedClusters: Sendable {
    private struct Share: Sendable {
        /// Sum of the weights up to and including this one.
        let end: UInt64
        let cluster: Int
    }

    private let shares: RouteArray<Share>
    private let total: UInt64

    /// - Parameter clusters: at least one; their numbers in `RouteTable.clusterNames`
    init(_ clusters: [(cluster: Int, weight: Int)], in memory: RouteMemory) {
        var total: UInt64 = 0
        shares = memory.store(
            clusters.map { entry in
                total += UInt64(entry.weight)
                return Share(end: total, cluster: entry.cluster)
            })
        self.total = total
    }

    /// The cluster for a random number that is even over its whole range.
    package func pick(_ random: UInt64) -> Int {
        let point = random.multipliedFullWidth(by: total).high
        var low = 0
        var high = shares.count &- 1
        while low < high {
            let middle = (low &+ high) / 2
            if shares[middle].end > point { high = middle } else { low = middle &+ 1 }
        }
        return shares[low].cluster
    }
}

/// A cluster that gets copies of a share of a route's requests.
struct RouteMirror: Sendable {
    /// Its number in `RouteTable.clusterNames`.
    let cluster: Int
    private let partsPerMillion: UInt64

    init(cluster: Int, fraction: Percent) {
        self.cluster = cluster
        partsPerMillion = UInt64(fraction.partsPerMillion)
    }

    /// - Parameter random: even over its whole range
    func takes(_ random: UInt64) -> Bool { random.multipliedFullWidth(by: 1_000_000).high < partsPerMillion }
}

/// A response that the configuration holds.
package struct RouteResponse: Sendable {
    package let status: HTTPStatus
    private let headers: HeaderEdits
    private let content: RouteText

    init(_ configuration: DirectResponse, in memory: RouteMemory) {
        status = HTTPStatus(rawValue: UInt16(configuration.status))
        var headers = configuration.headers
        if !configuration.body.isEmpty, !headers.contains(where: { $0.name.lowercased() == "content-type" }) {
            headers.append(HeaderConfiguration(name: "content-type", value: "text/plain; charset=utf-8"))
        }
        self.headers = HeaderEdits(HeaderEditConfiguration(add: headers), in: memory)
        content = memory.store(configuration.body)
    }

    /// Good as long as the route.
    package var body: ByteSlice { content.bytes }

    /// Adds the fields that are in the configuration. Fails as `HeaderEdits.apply(to:)` does.
    package func addHeaders(to table: inout HeaderTable) -> Bool { headers.apply(to: &table) }
}
