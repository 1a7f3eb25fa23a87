internal import Config
internal import Engine
internal import Glibc

/// The sockets that a change of configuration needs, all opened before anything is committed.
struct ListenerSockets {
    /// By listener key (`ListenerPlan.socketKey`): one socket per worker, or one for all.
    private var opened: [String: [ListeningSocket]] = [:]
    /// What the workers' ends of a listener have in common, by listener key.
    private(set) var groups: [String: ListenerGroup] = [:]

    struct Failures: Error {
        struct Entry {
            var problem: String
            var expected: String
            var position: ConfigPosition
        }

        var list: [Entry]
    }

    /// Opens sockets for listeners whose address `previous` does not accept at.
    ///
    /// - Parameter patienceNs: how long addresses that are in use are tried again, all together: a process that
    ///   just ended, or the workers with a listener that was just removed, may hold them for a moment more.
    static func open(
        for next: Snapshot, previous: Snapshot?, workers: Int, patienceNs: UInt64
    ) throws(Failures) -> ListenerSockets {
        var sockets = ListenerSockets()
        var failures: [Failures.Entry] = []
        let deadlineNs = monotonicNowNs() + patienceNs
        let kept = Set((previous?.listeners ?? []).map(\.socketKey))
        let ownPorts = Set((previous?.listeners ?? []).compactMap(\.configuration.address.port))
        for listener in next.listeners where !kept.contains(listener.socketKey) {
            do throws(ListeningSocket.Failure) {
                let besideOwn = listener.configuration.address.port.map(ownPorts.contains) ?? false
                sockets.opened[listener.socketKey] = try openPatiently(
                    listener, workers: workers, besideOwn: besideOwn, untilNs: deadlineNs)
                sockets.groups[listener.socketKey] = ListenerGroup(workers: workers)
            } catch {
                failures.append(
                    .init(
                        problem: error.message, expected: error.expected,
                        position: listener.configuration.origin.position))
            }
        }
        guard failures.isEmpty else {
            for socket in sockets.opened.values.joined() { socket.abandon() }
            throw Failures(list: failures)
        }
        return sockets
    }

    private static func openPatiently(
        _ listener: ListenerPlan, workers: Int, besideOwn: Bool, untilNs deadlineNs: UInt64
    ) throws(ListeningSocket.Failure) -> [ListeningSocket] {
        while true {
            do throws(ListeningSocket.Failure) {
                return try ListeningSocket.open(
                    listener.address, workers: workers, dualStack: listener.isDualStack, besideOwn: besideOwn)
            } catch {
                guard error.isInUse, monotonicNowNs() < deadlineNs else { throw error }
                usleep(20_000)
            }
        }
    }

    /// What the kernel gave to listeners that asked for any port, by listener key.
    func chosenAddresses(for listeners: [ListenerPlan]) -> [String: NetworkAddress] {
        var addresses: [String: NetworkAddress] = [:]
        for listener in listeners where listener.configuration.address.port == 0 {
            addresses[listener.socketKey] = opened[listener.socketKey]?[0].boundAddress
        }
        return addresses
    }

    /// One worker's sockets, by listener key.
    func forWorker(_ index: Int) -> [String: ListeningSocket] {
        opened.mapValues { sockets in
            guard sockets[0].isShared, index > 0 else { return sockets[min(index, sockets.count - 1)] }
            // Each worker closes its own descriptor of a shared socket.
            return ListeningSocket(descriptor: fcntl(sockets[0].descriptor, F_DUPFD_CLOEXEC, 0), isShared: true)
        }
    }
}
