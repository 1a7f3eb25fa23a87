/// Relay: what one connection receives is what another sends, with no filter in between.
///
/// A lease goes from the receive to the peer's queue without a copy. Half-closes, watermarks and ends are
/// carried over by the engine; handlers hear of closes only.
extension Connection {
    /// Joins this connection's received bytes to `destination`'s writes. Both directions of a proxied
    /// connection name the same two connections. The relay ends when either of them closes.
    package func relay(to destination: Connection) {
        precondition(isOpen && destination.isOpen, "a relay joins open connections")
        state.peer = destination.index
        state.flags.insert(.relaying)
        // The other direction may be handled by filters; the peer is known all the same (see `relaySource`).
        destination.state.peer = index
        if state.flags.contains(.readEnded) { destination.finishWriting() }
    }

    @inline(__always)
    func relay(_ lease: consuming Lease) {
        let isFull = lease.count == worker.core.value.buffers.bufferSize
        guard let destination = peer else {
            worker.discard(lease)
            return
        }
        destination.write(lease)
        noteForSplicing(isFull: isFull)
    }
}
