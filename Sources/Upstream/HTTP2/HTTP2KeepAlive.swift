package import Config
package import Engine
package import HTTP2

/// Asks a peer that has been silent for a while for a sign of life, by PING (RFC 9113 §6.7), and ends the connection
/// when none comes: what holds streams open for a peer that is gone, where the kernel has nothing to send and so does
/// not notice.
///
/// Whatever comes is a sign of life, so a connection in use costs nothing but a timer that is armed anew once an
/// interval. One PING is under way at most.
package final class HTTP2KeepAlive: TimerTask {
    package struct Settings: Sendable {
        /// Nanoseconds without a byte from the peer, before it is asked.
        package var intervalNs: UInt64
        /// Nanoseconds that it has for its answer.
        package var timeoutNs: UInt64

        /// nil where the configuration asks for none.
        package init?(_ configuration: HTTP2Configuration) {
            guard let interval = configuration.pingInterval else { return nil }
            intervalNs = interval.nanoseconds
            timeoutNs = configuration.pingTimeout.nanoseconds
        }
    }

    private let settings: Settings
    private let session: HTTP2Session
    private let connection: Connection
    private var receivedNs: UInt64
    /// When the PING that is under way was sent.
    private var askedNs: UInt64?
    private var timer = TaskTimer.none

    /// Begins at once. The owner calls `stop` when the connection is closed.
    package init(_ settings: Settings, _ session: HTTP2Session, on connection: Connection) {
        self.settings = settings
        self.session = session
        self.connection = connection
        receivedNs = connection.worker.nowNs
        super.init()
        wait(settings.intervalNs)
    }

    /// Something has come.
    package func received() {
        receivedNs = connection.worker.nowNs
        askedNs = nil
    }

    package func stop() {
        connection.worker.cancel(timer)
        timer = .none
    }

    private func wait(_ ns: UInt64) { timer = connection.worker.schedule(self, afterNs: ns) }

    package override func onTimer(_ tag: Int, on worker: Worker) {
        timer = .none
        guard connection.isOpen else { return }
        if askedNs != nil { return connection.close(.pingTimeout) }
        let dueNs = receivedNs + settings.intervalNs
        guard worker.nowNs >= dueNs else { return wait(dueNs - worker.nowNs) }
        askedNs = worker.nowNs
        session.ping(.signOfLife)
        connection.requestFlush()
        wait(settings.timeoutNs)
    }
}
