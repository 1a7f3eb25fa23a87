import AllocationCount
import Config
import Engine
@testable import Filters
import Glibc
import Synchronization
import Testing
import Upstream

/// A real worker on io_uring: a listener that echoes, and one that proxies to it.
private final class LoopbackProxy {
    let thread: WorkerThread
    private(set) var port: UInt16 = 0

    init() throws {
        thread = try WorkerThread(index: 0, cpu: nil, limits: WorkerLimits())
        try thread.start()
        let registry = StatsRegistry(blocks: [thread.stats])
        let (echoSocket, echoPort) = listeningSocket()
        let (proxySocket, proxyPort) = listeningSocket()
        port = proxyPort
        let echoRange = try registry.range(for: .init(.listener, "echo"), count: ListenerStat.cellCount)
        let proxyRange = try registry.range(for: .init(.listener, "proxy"), count: ListenerStat.cellCount)
        let clusterRange = try registry.range(for: .init(.cluster, "echo"), count: ClusterStat.cellCount)
        let endpointRange = try registry.range(for: .init(.endpoint, "echo"), count: EndpointStat.cellCount)
        let endpoint = Endpoint(
            address: NetworkAddress(ipv4Bits: 0x7F00_0001, port: echoPort), name: "echo", weight: 1,
            stats: endpointRange)
        let cluster = Cluster(
            name: "echo", endpoints: [endpoint], policy: .roundRobin, connectTimeoutNs: 1_000_000_000,
            connectionsMax: nil, stats: clusterRange)
        thread.send { worker in
            _ = worker.addListener(
                socket: echoSocket, isShared: false, counters: registry.scope(echoRange, worker: 0), limit: nil,
                chain: NetworkFilterChain([EchoFactory()]))
            let settings = TCPProxySettings(
                clusters: [(WorkerCluster(cluster, registry: registry, worker: 0), 1)],
                idleTimeoutNs: 60_000_000_000, connectAttempts: 1, seed: 1)
            _ = worker.addListener(
                socket: proxySocket, isShared: false, counters: registry.scope(proxyRange, worker: 0), limit: nil,
                chain: NetworkFilterChain([TCPProxyFactory(settings: settings)]))
        }
    }

    /// Allocations of the worker's thread so far; the question itself costs the same few each time.
    func allocations() -> UInt64 {
        let answer = Mutex<UInt64?>(nil)
        thread.send { _ in answer.withLock { $0 = rt_allocation_count() } }
        while true {
            if let count = answer.withLock({ $0 }) { return count }
            usleep(200)
        }
    }

    func stop() {
        thread.send { $0.stop() }
        while !thread.hasFinished { usleep(200) }
    }
}

final class EchoFactory: NetworkFilterFactory {
    override func makeFilter(for connection: Connection) -> NetworkFilter {
        EchoFilter(connection: connection, settings: EchoFilter.Settings())
    }
}

private func loopback(port: UInt16) -> NetworkAddress { NetworkAddress(ipv4Bits: 0x7F00_0001, port: port) }

private func listeningSocket() -> (descriptor: Int32, port: UInt16) {
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
    let isBound = unsafe loopback(port: 0).withSockaddr { unsafe bind(socket, $0, $1) } == 0
    precondition(isBound && listen(socket, 64) == 0, "no socket on the loopback")
    return (socket, NetworkAddress(localOf: socket)?.port ?? 0)
}

/// A blocking client.
@safe
private struct Client {
    private let socket: Int32
    private let buffer = UnsafeMutableRawPointer.allocate(byteCount: 1 << 16, alignment: 16)

    init(port: UInt16) {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let isConnected = unsafe loopback(port: port).withSockaddr { unsafe connect(socket, $0, $1) } == 0
        precondition(isConnected, "the proxy does not listen")
        unsafe buffer.initializeMemory(as: UInt8.self, repeating: 1, count: 1 << 16)
    }

    /// Sends `count` bytes and waits until as many have come back.
    func exchange(_ count: Int) {
        precondition(unsafe send(socket, buffer, count, 0) == count)
        var received = 0
        while received < count {
            let more = unsafe recv(socket, buffer, 1 << 16, 0)
            precondition(more > 0, "the proxy closed the connection")
            received += more
        }
    }

    func close() {
        _ = Glibc.close(socket)
        unsafe buffer.deallocate()
    }
}

@Suite("Steady state", .enabled(if: (try? URingBackend()) != nil, "io_uring is not available here"))
struct SteadyStateTests {
    @Test func allocatesNothingForMessages() throws {
        let proxy = try LoopbackProxy()
        let clients = (0..<4).map { _ in Client(port: proxy.port) }
        // Messages that fit a buffer, that gather several, and that make the direction a stream.
        func traffic(rounds: Int) {
            for _ in 0..<rounds {
                for client in clients {
                    for size in [1, 100, 4_096, 33_000, 65_536] { client.exchange(size) }
                }
            }
        }
        traffic(rounds: 50)
        let before = proxy.allocations()
        traffic(rounds: 200)
        let after = proxy.allocations()
        // 4,000 messages. Asking for the count allocates a few times, and a pool may still grow once.
        #expect(after - before < 20)
        for client in clients { client.close() }
        proxy.stop()
    }
}
