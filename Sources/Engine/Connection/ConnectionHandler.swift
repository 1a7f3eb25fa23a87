/// Who is told what happens on a connection.
///
/// All hooks run on the connection's worker and must not block. A hook may call anything on any connection
/// of its worker; `onClose` comes once, at the end of the turn, never from inside another hook, and is the
/// last one.
open class ConnectionHandler {
    public init() {}

    /// A downstream connection was accepted. With TLS this is before the handshake: here it can be refused before it
    /// costs anything. `onConnected` follows, unless the connection is closed or fails before.
    open func onAccepted(_ connection: Connection) {}

    /// The connection is established, its TLS handshake included: bytes can go both ways.
    open func onConnected(_ connection: Connection) {}

    /// Bytes arrived. The handler owns the lease: it writes it to a connection or discards it.
    open func onData(_ data: consuming Lease, on connection: Connection) {
        connection.worker.discard(data)
    }

    /// The peer ended its stream; what it sent before was delivered. Unless the handler ends our stream too
    /// (`finishWriting`), the connection stays half open.
    open func onEnd(_ connection: Connection) {
        connection.finishWriting()
    }

    /// Something happened to a transfer from this connection that the handler has asked for.
    open func onTransfer(_ event: TransferEvent, on connection: Connection) {}

    /// The turn ends, and `requestFlush` was called in it: write what belongs together.
    open func onFlush(_ connection: Connection) {}

    /// The connection does not take bytes as fast as they come: stop producing them.
    open func onAboveHighWatermark(_ connection: Connection) {}
    /// Go on.
    open func onBelowLowWatermark(_ connection: Connection) {}

    /// No bytes in either direction for the idle timeout.
    open func onIdle(_ connection: Connection) {
        connection.close(.idleTimeout)
    }

    /// The time that `Connection.setDeadline` named has come.
    open func onDeadline(_ connection: Connection) {}

    /// The listener of this connection is draining: finish what is in flight and close soon.
    open func onDrain(_ connection: Connection) {}

    /// The connection is over: calls on it do nothing any more. Counted under `reason` already.
    open func onClose(_ connection: Connection, _ reason: CloseReason) {}
}

/// What happens to a transfer (`Connection.prepareTransfer`), as told to the handler of its source.
public enum TransferEvent: Sendable {
    /// Nothing is received any more, and the destination has sent all that was written to it: say how much is to go
    /// (`Connection.transfer`), or that nothing is (`Connection.cancelTransfer`).
    case ready
    /// The bytes are through, or the source has ended before (`onEnd` follows), or there is no pipe for them. Reading
    /// goes on.
    case ended
}
