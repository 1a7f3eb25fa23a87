public import Config
public import Engine

/// Admits connections by the address of their peer (layer 3): `access` in a listener, or `ip_access` anywhere
/// in its chain.
///
/// An address in `deny` is refused; then, when `allow` is not empty, one that is not in it. Peers of Unix
/// sockets have no address and are admitted. A refused connection is closed at once, with a reset, and
/// counted under the reason `denied`.
public final class IPAccessFilter: NetworkFilter, ConfigurableNetworkFilter {
    public struct Settings: Sendable {
        var allow: [CIDR]
        var deny: [CIDR]

        package init(allow: [CIDR], deny: [CIDR]) {
            self.allow = allow
            self.deny = deny
        }

        package func admits(_ address: IPAddress) -> Bool {
            if deny.contains(where: { $0.contains(address) }) { return false }
            return allow.isEmpty || allow.contains { $0.contains(address) }
        }
    }

    public static let name = "ip_access"

    public static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let allow = object.value("allow", .list(of: .cidr), default: [])
        let deny = object.value("deny", .list(of: .cidr), default: [])
        return object.finish() ? Settings(allow: allow, deny: deny) : nil
    }

    private let settings: Settings

    public init(connection: Connection, settings: Settings) {
        self.settings = settings
        super.init(connection: connection)
    }

    public override func onAccepted(_ connection: Connection) {
        guard let peer = connection.peerAddress else {
            connection.close(.remoteReset)
            return
        }
        if let address = peer.ipAddress, !settings.admits(address) {
            connection.close(.denied, reset: true)
        } else {
            super.onAccepted(connection)
        }
    }
}

extension NetworkAddress {
    /// The IP address, IPv4 as such; nil for Unix sockets.
    var ipAddress: IPAddress? {
        ipBytes.map { IPAddress.v6(UInt128($0.high) << 64 | UInt128($0.low)).unmapped }
    }
}
