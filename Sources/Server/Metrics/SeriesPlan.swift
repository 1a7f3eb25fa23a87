internal import Config
internal import Engine
internal import Filters
internal import Upstream

/// Who has series of its own in a generation of the configuration, within the budget.
///
/// Made once for a generation, so that a scrape formats no labels. Owners beyond the budget count together under one
/// name, `overflow`. Who has series keeps them as long as it is there: a new cluster takes none away from an old one.
struct SeriesPlan: Sendable {
    /// The label value of what has no series of its own.
    static let overflowName = "(overflow)"

    private(set) var listeners: [Owned<ListenerPlan>] = []
    private(set) var filters: [Owned<FilterSeries>] = []
    private(set) var routes: [Owned<RouteSeries>] = []
    private(set) var clusters: [Owned<Cluster>] = []
    let workers: [Owned<Int>]
    /// The process, and everybody in the lists above.
    private(set) var ownerCount = 1
    /// Owners without series of their own, and how many series they would have.
    private(set) var foldedOwners: UInt64 = 0
    private(set) var foldedSeries: UInt64 = 0
    /// Series that a scrape has at most, and may have.
    private(set) var seriesCount: UInt64 = 0
    let seriesMax: UInt64

    /// HTTP filters of one name in one listener, which count together.
    struct FilterSeries: Sendable {
        let listener: String
        let name: String
        let events: [String]
        let stats: StatsRegistry.Range
    }

    /// A route of a listener.
    struct RouteSeries: Sendable {
        let listener: String
        let route: RouteCells
    }

    private enum Kind: Int { case listener, filter, route, cluster }

    private struct Key: Hashable {
        let kind: Kind
        let name: String
    }

    /// Who has series of its own.
    private var shown: Set<Key> = []

    /// - Parameters:
    ///   - previous: of the generation before
    ///   - cost: how many series each owner of a plan may have, by its number
    init(
        snapshot: Snapshot, workers: Int, seriesMax: UInt64, previous: SeriesPlan?, cost: (SeriesPlan) -> [Int]
    ) {
        self.init(snapshot: snapshot, workers: workers, seriesMax: seriesMax, shown: nil)
        let costs = cost(self)
        let total = costs.reduce(0, +)
        seriesCount = UInt64(total)
        guard total > Int(seriesMax) else { return }

        let candidates: [(key: Key, cost: Int)] =
            listeners.map { (Key(kind: .listener, name: $0.name), costs[$0.owner.number]) }
            + filters.map { (Key(kind: .filter, name: $0.name), costs[$0.owner.number]) }
            + routes.map { (Key(kind: .route, name: $0.name), costs[$0.owner.number]) }
            + clusters.map { (Key(kind: .cluster, name: $0.name), costs[$0.owner.number]) }
        // The process and its workers, and the overflow of each kind, have their series in any case.
        let own = total - candidates.reduce(0) { $0 + $1.cost }
        let reserve = [Kind.listener, .route, .cluster].reduce(0) { sum, kind in
            sum + (candidates.lazy.filter { $0.key.kind == kind }.map(\.cost).max() ?? 0)
        }
        let filterKinds = Dictionary(filters.map { ($0.members[0].name, costs[$0.owner.number]) }) { $1 }
        var left = Int(seriesMax) - own - reserve - filterKinds.values.reduce(0, +)
        var chosen: Set<Key> = []
        let before = previous?.shown
        let (old, new) = (candidates.filter { before?.contains($0.key) ?? false }, candidates)
        for candidate in old + new where !chosen.contains(candidate.key) && candidate.cost <= left {
            chosen.insert(candidate.key)
            left -= candidate.cost
        }
        self.init(snapshot: snapshot, workers: workers, seriesMax: seriesMax, shown: chosen)
        let folded = candidates.filter { !chosen.contains($0.key) }
        foldedOwners = UInt64(folded.count)
        foldedSeries = UInt64(folded.reduce(0) { $0 + $1.cost })
        seriesCount = UInt64(max(Int(seriesMax) - left, 0))
    }

    /// - Parameter shown: who has series of its own; nil for everybody
    private init(snapshot: Snapshot, workers: Int, seriesMax: UInt64, shown: Set<Key>?) {
        self.seriesMax = seriesMax
        var number = 0
        func next() -> Int {
            number += 1
            return number
        }
        self.workers = (0..<workers).map { worker in
            Owned(
                owner: SeriesOwner(number: next(), labels: ["worker": "\(worker)"]), name: "\(worker)",
                members: [worker])
        }
        var everybody: Set<Key> = []
        func split<Member>(_ kind: Kind, _ members: [Member], _ name: (Member) -> String) -> ([Member], [Member]) {
            var own: [Member] = []
            var folded: [Member] = []
            for member in members {
                let key = Key(kind: kind, name: name(member))
                if shown?.contains(key) ?? true {
                    everybody.insert(key)
                    own.append(member)
                } else {
                    folded.append(member)
                }
            }
            return (own, folded)
        }

        let (ownListeners, foldedListeners) = split(.listener, snapshot.listeners) { $0.configuration.name }
        var listeners: [Owned<ListenerPlan>] = []
        for group in ownListeners.map({ [$0] }) + [foldedListeners] where !group.isEmpty {
            let isOwn = listeners.count < ownListeners.count
            let name = isOwn ? group[0].configuration.name : Self.overflowName
            let owner = SeriesOwner(number: next(), labels: ["listener": name], ranges: group.map(\.stats))
            listeners.append(Owned(owner: owner, name: name, members: group))
        }
        self.listeners = listeners

        let (ownFilters, foldedFilters) = split(.filter, Self.filters(of: snapshot)) { "\($0.listener) \($0.name)" }
        // The folded ones by name: each has events of its own.
        let groups = Dictionary(grouping: foldedFilters, by: \.name).sorted { $0.key < $1.key }.map(\.value)
        var filters: [Owned<FilterSeries>] = []
        for group in ownFilters.map({ [$0] }) + groups {
            let isOwn = filters.count < ownFilters.count
            let listener = isOwn ? group[0].listener : Self.overflowName
            let owner = SeriesOwner(
                number: next(), labels: ["listener": listener, "filter": group[0].name], ranges: group.map(\.stats))
            filters.append(Owned(owner: owner, name: "\(listener) \(group[0].name)", members: group))
        }
        self.filters = filters

        let (ownRoutes, foldedRoutes) = split(.route, Self.routes(of: snapshot)) { "\($0.listener) \($0.route.label)" }
        var routes: [Owned<RouteSeries>] = []
        routes.reserveCapacity(ownRoutes.count + 1)
        for group in ownRoutes.map({ [$0] }) + [foldedRoutes] where !group.isEmpty {
            let isOwn = routes.count < ownRoutes.count
            let listener = isOwn ? group[0].listener : Self.overflowName
            let route = isOwn ? group[0].route.label : Self.overflowName
            let owner = SeriesOwner(
                number: next(), labels: ["listener": listener, "route": route], ranges: group.map(\.route.stats))
            routes.append(Owned(owner: owner, name: "\(listener) \(route)", members: group))
        }
        self.routes = routes

        let (ownClusters, foldedClusters) = split(.cluster, snapshot.clusters.values.sorted { $0.name < $1.name }) {
            $0.name
        }
        var clusters: [Owned<Cluster>] = []
        clusters.reserveCapacity(ownClusters.count + 1)
        for group in ownClusters.map({ [$0] }) + [foldedClusters] where !group.isEmpty {
            let isOwn = clusters.count < ownClusters.count
            let name = isOwn ? group[0].name : Self.overflowName
            let owner = SeriesOwner(number: next(), labels: ["cluster": name], ranges: group.map(\.stats))
            clusters.append(Owned(owner: owner, name: name, members: group))
        }
        self.clusters = clusters
        ownerCount = number + 1
        self.shown = everybody
    }

    private static func routes(of snapshot: Snapshot) -> [RouteSeries] {
        snapshot.listeners.flatMap { listener -> [RouteSeries] in
            var labels: Set<String> = []
            return listener.httpPlans.flatMap(\.routes).filter { labels.insert($0.label).inserted }
                .map { RouteSeries(listener: listener.configuration.name, route: $0) }
        }
    }

    private static func filters(of snapshot: Snapshot) -> [FilterSeries] {
        snapshot.listeners.flatMap { listener -> [FilterSeries] in
            var names: Set<String> = []
            return listener.httpPlans.flatMap(\.filters).compactMap { filter in
                guard let stats = filter.stats, names.insert(filter.plan.name).inserted else { return nil }
                return FilterSeries(
                    listener: listener.configuration.name, name: filter.plan.name, events: filter.plan.events,
                    stats: stats)
            }
        }
    }

    /// Those with `http:`, alone or among others.
    var httpListeners: [Owned<ListenerPlan>] {
        listeners.filter { $0.members.contains(where: \.servesHTTP) }
    }
}

/// Listeners and clusters in one list.
struct Peered: Sendable {
    let speaksTLS: Bool
}

extension Owned<ListenerPlan> {
    var erased: Owned<Peered> {
        Owned<Peered>(
            owner: owner, name: name, members: [Peered(speaksTLS: members.contains(where: \.speaksTLS))])
    }
}

extension Owned<Cluster> {
    var erased: Owned<Peered> {
        Owned<Peered>(
            owner: owner, name: name, members: [Peered(speaksTLS: members.contains { $0.tls != nil })])
    }
}
