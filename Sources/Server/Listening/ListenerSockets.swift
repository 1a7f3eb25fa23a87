internal import Config
internal import Engine
internal import Glibc

/// The sockets that a change of configuration needs, all opened before anything is committed.
struct ListenerSockets {
    /// By listener key (`ListenerPlan.socketKey`): one socket per worker, or one for all.
    private var opened: [String: [ListeningSocket]] = [:]

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
    /// - Parameter patience: a process that just ended may hold its addresses for a moment more; at the start
    ///   of this one they are tried again for a while.
    static func open(
        for next: Snapshot, previous: Snapshot?, workers: Int, patience: Bool
    ) throws(Failures) -> ListenerSockets {
        var sockets = ListenerSockets()
        var failures: [Failures.Entry] = []
        let kept = Set((previous?.listeners ?? []).map(\.socketKey))
        for listener in next.listeners where !kept.contains(listener.socketKey) {
            do throws(ListeningSocket.Failure) {
                let opened = try openPatiently(listener, workers: workers, tries: patience ? 10 : 1)
                sockets.opened[listener.socketKey] = opened
            } catch {
                failures.append(
                    .init(
                        problem: error.message, expected: error.expected,
                        position: listener.configuration.origin.position))
            }
        }
        guard failures.isEmpty else {
            for socket in sockets.opened.values.joined() { socket.close() }
            throw Failures(list: failures)
        }
        return sockets
    }

    private static func openPatiently(
        _ listener: ListenerPlan, workers: Int, tries: Int
    ) throws(ListeningSocket.Failure) -> [ListeningSocket] {
        var left = tries
        while true {
            do throws(ListeningSocket.Failure) {
                return try ListeningSocket.open(listener.address, workers: workers, dualStack: listener.isDualStack)
            } catch {
                left -= 1
                guard left > 0, error.isInUse else { throw error }
                usleep(100_000)
            }
        }
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
