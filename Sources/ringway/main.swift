import Engine
import Upstream
import Filters
import Server
import Glibc
let args = CommandLine.arguments
let workers = 1
let thread = try WorkerThread(index: 0, cpu: Int32(args[3])!, limits: WorkerLimits())
let registry = StatsRegistry(blocks: [thread.stats])
let addr = NetworkAddress(ipv4: "127.0.0.1", port: UInt16(args[2])!)!
let cstats = try registry.range(for: .init(.cluster, "x"), count: ClusterStat.cellCount)
let estats = try registry.range(for: .init(.endpoint, "x"), count: EndpointStat.cellCount)
let lstats = try registry.range(for: .init(.listener, "x"), count: ListenerStat.cellCount)
let cluster = Cluster(name: "x", endpoints: [Endpoint(address: addr, name: "x", weight: 1, stats: estats)], policy: .roundRobin, connectTimeoutNs: 5_000_000_000, connectionsMax: nil, stats: cstats)
let sockets = try ListeningSocket.open(NetworkAddress(ipv4: "127.0.0.1", port: UInt16(args[1])!)!, workers: 1, dualStack: false)
try thread.start()
thread.send { worker in
    let wc = WorkerCluster(cluster, registry: registry, worker: 0)
    let settings = TCPProxySettings(clusters: [(wc, 1)], idleTimeoutNs: 3600_000_000_000, connectAttempts: 1, seed: 1)
    _ = worker.addListener(socket: sockets[0].descriptor, isShared: false, counters: registry.scope(lstats, worker: 0), limit: nil, chain: NetworkFilterChain([TCPProxyFactory(settings: settings)]))
}
signal(SIGPIPE, SIG_IGN)
while true {
  sleep(2)
  if args.count > 4 {
  for c in WorkerStat.allCases { print(c, registry.sum(try registry.range(for: .init(.worker, ""), count: WorkerStat.cellCount), c), terminator: " ") }
  print()
  for c in ConnectionStat.allCases { print(c, registry.sum(lstats, c), terminator: " ") }
  for c in CloseReason.allCases { print(c, registry.sum(lstats, ConnectionStat.closes(c)), registry.sum(cstats, ConnectionStat.closes(c)), terminator: " ") }
  print()
  fflush(nil)
  }
}
