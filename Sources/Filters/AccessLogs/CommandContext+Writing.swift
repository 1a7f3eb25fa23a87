internal import Engine
internal import HTTP
internal import Upstream

extension CommandContext {
    /// Writes nothing where there is no value.
    func write(_ fact: Fact, to value: inout LineWriter) {
        switch fact {
        case .protocol: if let head { value.append(constant: head.value.version.text) }
        case .responseCode: value.append(UInt64(status))
        case .responseCodeDetails: if let details { value.append(constant: details) }
        case .responseFlags: if flag != .none { value.append(constant: flag.label) }
        case .responseFlagsLong: if flag != .none { value.append(constant: flag.longLabel) }
        case .grpcStatus: if let status = info.grpcStatus { value.append(constant: GRPC.name(of: Int(status))) }
        case .grpcStatusNumber: if let status = info.grpcStatus { value.append(UInt64(status)) }
        case .bytesReceived: value.append(info.bytesReceived)
        case .bytesSent: value.append(info.bytesSent)
        case .duration: value.append((nowNs &- startedNs) / 1_000_000)
        case .requestDuration: writeMs(from: startedNs, to: info.requestEndedNs, &value)
        case .responseDuration: writeMs(from: startedNs, to: info.upstreamHeadNs, &value)
        case .responseTxDuration: writeMs(from: info.upstreamHeadNs, to: nowNs, &value)
        case .upstreamHost, .upstreamRemoteAddress:
            if let name = clusterNames?.endpoint(Int(info.endpoint)) { value.append(name) }
        case .upstreamRemoteAddressWithoutPort: if let endpoint { writeHost(of: endpoint, &value) }
        case .upstreamRemotePort: writeUpstreamPort(&value)
        case .upstreamCluster: if let clusterNames { value.append(clusterNames.cluster) }
        case .upstreamRequestAttemptCount: if attempts > 0 { value.append(attempts) }
        case .upstreamTransportFailureReason: if let reason = info.transportFailure { value.append(utf8: reason.label) }
        case .downstreamRemoteAddress:
            if let forwardedAddress {
                writeForwarded(forwardedAddress, &value)
            } else {
                write(remote?.text, &value)
            }
        case .downstreamRemoteAddressWithoutPort:
            if let forwardedAddress { value.append(forwardedAddress) } else { write(remote?.host, &value) }
        case .downstreamRemotePort:
            if forwardedAddress != nil { value.append(0) } else { write(remote?.port, &value) }
        case .downstreamDirectRemoteAddress: write(remote?.text, &value)
        case .downstreamDirectRemoteAddressWithoutPort: write(remote?.host, &value)
        case .downstreamDirectRemotePort: write(remote?.port, &value)
        case .downstreamLocalAddress: write(local?.text, &value)
        case .downstreamLocalAddressWithoutPort: write(local?.host, &value)
        case .downstreamLocalPort: write(local?.port, &value)
        case .downstreamTransportFailureReason:
            if let reason = client?.transportFailure { value.append(utf8: reason.label) }
        case .downstreamTLSVersion: write(tls?.version, &value)
        case .downstreamTLSCipher: write(tls?.cipher, &value)
        case .requestedServerName: write(tls?.serverName, &value)
        case .downstreamPeerSubject: write(tls?.peer?.subject, &value)
        case .downstreamPeerIssuer: write(tls?.peer?.issuer, &value)
        case .downstreamPeerSerial: write(tls?.peer?.serialNumber, &value)
        case .downstreamPeerFingerprint256: write(tls?.peer?.fingerprint, &value)
        case .downstreamPeerURISAN: write(tls?.peer?.uriNames.joined(separator: ","), &value)
        case .downstreamPeerDNSSAN: write(tls?.peer?.dnsNames.joined(separator: ","), &value)
        case .downstreamPeerIPSAN: write(tls?.peer?.ipNames.joined(separator: ","), &value)
        case .traceID: write(traceContext?.traceHigh, traceContext?.traceLow, &value)
        case .spanID: write(nil, traceContext?.spanID, &value)
        case .routeName: if !routeName.isEmpty { value.append(routeName) }
        case .connectionID: value.append(client?.number ?? 0)
        case .connectionTerminationDetails: if let closeReason { value.append(utf8: closeReason.label) }
        }
    }

    private var traceContext: TraceContext? {
        guard let trace, trace.value.isDecided else { return nil }
        return trace.value.context
    }

    /// Ids in hexadecimal.
    private func write(_ high: UInt64?, _ low: UInt64?, _ value: inout LineWriter) {
        guard let low else { return }
        unsafe withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { return }
            var writer = unsafe ByteWriter(start: start, capacity: 32)
            if let high { writer.append(hex16: high) }
            writer.append(hex16: low)
            value.append(unsafe ByteSlice(start: start, count: writer.count))  // written just now
        }
    }

    private func writeMs(from startNs: UInt64, to endNs: UInt64, _ value: inout LineWriter) {
        guard startNs > 0, endNs >= startNs else { return }
        value.append((endNs - startNs) / 1_000_000)
    }

    /// Of a stream, what its connection keeps for all of them.
    private var tls: ConnectionTLS? {
        if let stream = unsafe stream {
            var tls: ConnectionTLS?
            stream.withCodec { codec in codec.withManager { tls = $0.tls } }
            return tls
        }
        return client.flatMap { $0.isSecure ? ConnectionTLS($0) : nil }
    }

    private func write(_ text: String?, _ value: inout LineWriter) {
        if let text, !text.isEmpty { value.append(utf8: text) }
    }

    private func write(_ bytes: ByteSlice?, _ value: inout LineWriter) {
        if let bytes { value.append(bytes) }
    }

    private func write(_ port: UInt16?, _ value: inout LineWriter) {
        if let port { value.append(UInt64(port)) }
    }

    /// An address that a header told, which says nothing of a port; Envoy makes it 0.
    private func writeForwarded(_ address: ByteSlice, _ value: inout LineWriter) {
        let isV6 = address.firstIndex(of: UInt8(ascii: ":")) != nil && address.first != UInt8(ascii: "[")
        if isV6 { value.append(constant: "[") }
        value.append(address)
        value.append(constant: isV6 ? "]:0" : ":0")
    }

    /// `1.2.3.4:80` without `:80`, `[::1]:80` without brackets; the path of a Unix socket as it is.
    private func writeHost(of endpoint: Endpoint, _ value: inout LineWriter) {
        guard !endpoint.address.isUnix, let colon = endpoint.name.utf8.lastIndex(of: UInt8(ascii: ":")) else {
            return value.append(utf8: endpoint.name)
        }
        var host = endpoint.name[..<colon]
        if host.first == "[" { host = host.dropFirst().dropLast() }
        value.append(utf8: String(host))
    }

    private func writeUpstreamPort(_ value: inout LineWriter) {
        if let endpoint, !endpoint.address.isUnix { value.append(UInt64(endpoint.address.port)) }
    }

    /// False when the request has no such field.
    func writeRequest(_ name: FieldName, of format: CommandFormat, to value: inout LineWriter) -> Bool {
        guard let head else { return false }
        switch name {
        case .method: value.append(head.value.methodText)
        case .path: return writePath(of: head.value, to: &value)
        case .authority:
            guard !head.value.authority.isEmpty else { return false }
            value.append(head.value.authority)
        case .scheme:
            guard let scheme = head.value.headers[.xForwardedProto] else { return false }
            value.append(scheme)
        case .known(let name):
            guard let field = head.value.headers[name] else { return false }
            value.append(field)
        case .other(let index):
            guard let field = head.value.headers[format.otherNames[index].key] else { return false }
            value.append(field)
        }
        return true
    }

    /// With the query, as Envoy's `:path`.
    private func writePath(of head: borrowing RequestHead, to value: inout LineWriter) -> Bool {
        if head.targetForm == .asterisk {
            value.append(constant: "*")
            return true
        }
        guard !head.path.isEmpty else { return false }
        value.append(head.path)
        if let query = head.query {
            value.append(constant: "?")
            value.append(query)
        }
        return true
    }
}
