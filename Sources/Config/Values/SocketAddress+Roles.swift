// Files and the command line name addresses in the same forms, by these initializers.
extension SocketAddress {
    /// Follows "expected" where ``init(listeningAt:)`` threw.
    public static let listeningForms = "IP:PORT, [IPv6]:PORT, localhost:PORT, :PORT or unix:PATH"

    /// Follows "expected" where ``init(connectingTo:)`` threw.
    public static let connectingForms = "IP:PORT, [IPv6]:PORT, localhost:PORT or unix:PATH"

    /// An address to listen at. Port 0 asks the kernel for a free one.
    public init(listeningAt text: String) throws(ConfigProblem) {
        self = try SocketAddress(parsing: text).withoutHostName()
    }

    /// One address to connect to: neither `:PORT` nor port 0.
    public init(connectingTo text: String) throws(ConfigProblem) {
        self = try SocketAddress(parsing: text).withoutHostName()
        if case .any(let port) = self {
            throw ConfigProblem("which has no host", suggestion: "127.0.0.1:\(port)")
        }
        guard port != 0 else { throw ConfigProblem("which has port 0") }
    }

    /// `localhost` is 127.0.0.1, without asking anybody (RFC 6761 §6.3); other names need a resolver.
    private func withoutHostName() throws(ConfigProblem) -> SocketAddress {
        guard case .host(let name, let port) = self else { return self }
        guard name.lowercased() == "localhost" else { throw ConfigProblem("which is a host name") }
        return .ip(.v4(0x7F00_0001), port: port)
    }
}
