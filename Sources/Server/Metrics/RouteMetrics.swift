internal import Engine
internal import Filters

/// The families of routes.
struct RouteMetrics {
    let registry: StatsRegistry
    let plan: SeriesPlan

    var families: [MetricFamily] {
        [
            MetricFamily(
                "ringway_route_requests_total", .counter, "Requests by the route that was found for them.", plan.routes
            ) { [registry] writer, item in
                writer.sample(item.owner, registry.sum(item.owner, RouteStat.requests))
            },
            MetricFamily(
                "ringway_route_cpu_seconds_total", .counter,
                "CPU time of the workers for requests of the route, estimated from one turn of sixteen.", plan.routes
            ) { [registry] writer, item in
                writer.sample(item.owner, nil, seconds: Double(registry.sum(item.owner, RouteStat.cpuNs)) / 1e9)
            },
        ]
    }
}
