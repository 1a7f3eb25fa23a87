extension ConfigurationDecoder {
    /// Always a cluster, so that nobody who refers to it gets an error for its errors.
    func cluster(_ object: ConfigObject) -> ClusterConfiguration? {
        let name = object.required("name", .name)
        // A name that breaks the rules still is what references mean: one error is enough.
        if case .scalar(let scalar) = object.node("name")?.value, !scalar.isNull {
            clusterNames.insert(scalar.text, at: object.position(of: "name"))
        }
        let cluster = ClusterConfiguration(
            name: name ?? "",
            endpoints: endpoints(object),
            loadBalancing: object.value("load_balancing", .loadBalancing, default: .roundRobin),
            connectTimeout: object.value(
                "connect_timeout", .duration(in: ConfigLimits.connectTimeout),
                default: ClusterConfiguration.defaultConnectTimeout),
            pool: object.value("pool", .object("pool", pool), default: PoolConfiguration()),
            tls: object.optional("tls", .object("tls", clusterTLS)),
            upstreamProtocol: object.value("protocol", .upstreamProtocol, default: .http1),
            http2: object.value("http2", .object("http2", clusterHTTP2), default: HTTP2Configuration()),
            tcpKeepAlive: object.optional("tcp_keepalive", .tcpKeepAlive),
            healthCheck: object.optional("health_check", .object("health_check", healthCheck)),
            outlierDetection: object.optional("outlier_detection", .object("outlier_detection", outlierDetection)),
            panicThreshold: object.value(
                "panic_threshold", .percent, default: ClusterConfiguration.defaultPanicThreshold),
            origin: ConfigOrigin(object.position))
        if cluster.upstreamProtocol == .negotiated, object.node("tls") == nil {
            diagnostics.report(
                "without \"tls\" there is no handshake in which a protocol could be chosen",
                expected: "http1 or http2", at: object.position(of: "protocol"))
        }
        return cluster
    }

    private func endpoints(_ object: ConfigObject) -> [EndpointConfiguration] {
        let endpoints =
            object.required("endpoints", .list(of: .endpoint, count: ConfigLimits.endpoints)) ?? []
        var firstPositions: [SocketAddress: ConfigPosition] = [:]
        firstPositions.reserveCapacity(endpoints.count)
        for endpoint in endpoints {
            let position = endpoint.origin.position
            guard let first = firstPositions[endpoint.address] else {
                firstPositions[endpoint.address] = position
                continue
            }
            diagnostics.report(
                "duplicate endpoint \(endpoint.address), first written at \(first.line):\(first.column)",
                expected: "each address once", at: position)
        }
        return endpoints
    }

    private func pool(_ object: ConfigObject) -> PoolConfiguration? {
        PoolConfiguration(
            maxConnections: object.optional("max_connections", .int(in: ConfigLimits.connections)),
            maxPending: object.value(
                "max_pending", .int(in: ConfigLimits.poolRequests), default: PoolConfiguration.defaultMaxPending),
            maxRequests: object.optional("max_requests", .int(in: ConfigLimits.poolRequests)),
            maxRetries: object.value(
                "max_retries", .int(in: ConfigLimits.poolRetries), default: PoolConfiguration.defaultMaxRetries),
            idleTimeout: object.value(
                "idle_timeout", .durationOrOff(in: ConfigLimits.idleTimeout),
                default: PoolConfiguration.defaultIdleTimeout),
            maxRequestsPerConnection: object.optional(
                "max_requests_per_connection", .int(in: ConfigLimits.requestsPerConnection)),
            maxConnectionDuration: object.optional(
                "max_connection_duration", .duration(in: ConfigLimits.connectionDuration)))
    }
}

extension ConfigFormat where Value == UpstreamProtocol {
    fileprivate static var upstreamProtocol: ConfigFormat {
        choice(["http1": .http1, "http2": .http2, "auto": .negotiated])
    }
}

extension ConfigFormat where Value == LoadBalancingPolicy {
    /// Requests are connections where bytes are proxied, so both words are right for the same policy.
    fileprivate static var loadBalancing: ConfigFormat {
        choice([
            "round_robin": .roundRobin, "least_request": .leastRequest, "least_connections": .leastRequest,
            "random": .random,
        ])
    }
}

extension ConfigFormat where Value == EndpointConfiguration {
    /// `ADDRESS` stands for `{ address: ADDRESS }`.
    fileprivate static var endpoint: ConfigFormat {
        let address = ConfigFormat<SocketAddress>.endpointAddress
        let object = ConfigFormat.object("endpoint") { object in
            let address = object.required("address", address)
            let weight = object.value(
                "weight", .int(in: ConfigLimits.weight), default: EndpointConfiguration.defaultWeight)
            return address.map {
                EndpointConfiguration(
                    address: $0, weight: weight, origin: ConfigOrigin(object.position(of: "address")))
            }
        }
        return ConfigFormat("\(address.expectation), or an object") { value in
            guard case .scalar = value.node.value else { return value.read(as: object.expecting(value.expectation)) }
            return value.read(as: address).map {
                EndpointConfiguration(address: $0, origin: ConfigOrigin(value.node.position))
            }
        }
    }
}
