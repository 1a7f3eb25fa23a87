import Engine
import Filters
import Simulation
import Testing
import Upstream

@Suite("TCPProxyFilter")
struct TCPProxyTests {
    @Test func relaysBothWaysAndEndsInOrder() throws {
        let world = try ProxyWorld()
        let (client, upstream) = world.connectThrough(
            client: plan { $0.sendBytes = 10_000; $0.finish = .afterSending },
            upstream: plan { $0.sendBytes = 20_000; $0.finish = .afterEnd })
        #expect(world.problemsAtEnd() == [])
        #expect(upstream.receivedBytes == 10_000 && upstream.sawEnd)
        #expect(client.receivedBytes == 20_000 && client.sawEnd)
        #expect(world.closes(.finished) == 1 && world.upstreamCloses(.finished) == 1)
    }
}
