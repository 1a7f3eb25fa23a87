package import Config
package import Engine

extension NetworkAddress {
    /// The kernel's form of an address that configuration has checked: numeric, or a Unix path that fits.
    package convenience init(_ address: SocketAddress) {
        switch address {
        case .ip(.v4(let bits), let port): self.init(ipv4Bits: bits, port: port)
        case .ip(.v6(let bits), let port): self.init(ipv6Bits: bits, port: port)
        // The IPv6 wildcard; a listener there takes IPv4 as well.
        case .any(let port): self.init(ipv6Bits: 0, port: port)
        case .unix(let path):
            guard let checked = UnixPath(path) else { preconditionFailure("a checked path fits: \(path)") }
            self.init(unixPath: checked)
        case .host(let name, _):
            preconditionFailure("host names are refused where addresses are expected: \(name)")
        }
    }
}

extension SocketAddress {
    /// `:PORT`: any address of this machine, IPv4 and IPv6.
    package var isWildcard: Bool {
        if case .any = self { true } else { false }
    }
}
