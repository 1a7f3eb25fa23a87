internal import Engine
internal import Glibc

/// Time, chance, and the wires between sockets and their peers.
@safe
package final class SimulatedNetwork {
    /// How long a kernel goes on sending to a peer that does not answer (Linux: about 15 minutes).
    static let retransmitNs: UInt64 = 924_000_000_000

    package internal(set) var nowNs: UInt64 = 1_000_000_000
    package var perturbation: Perturbation
    /// Kernel memory of each side of a connection, in each direction.
    package var socketBufferBytes = 32 * 1024
    /// By the address's text.
    package var servers: [String: SimulatedServer] = [:]
    /// By stream number.
    package private(set) var peers: [SimulatedPeer] = []

    var random: SimulationRandom
    var events = EventQueue()
    private var endpoints: [SimulatedEndpoint] = []
    private(set) var touchedSockets: [SimulatedSocket] = []
    private(set) var touchedPeers: [SimulatedPeer] = []
    private var scratch = UnsafeMutableRawPointer.allocate(byteCount: 1 << 16, alignment: 16)
    private var scratchBytes = 1 << 16

    init(seed: UInt64, perturbation: Perturbation) {
        random = SimulationRandom(seed: seed)
        self.perturbation = perturbation
    }

    deinit { unsafe scratch.deallocate() }

    /// Runs `body` at `timeNs`, between two turns of the worker.
    package func at(_ timeNs: UInt64, _ body: @escaping () -> Void) { events.add(.call(body), atNs: timeNs) }

    // MARK: Connections

    /// The two ends of a new connection, the second one with a peer behind it.
    func makeConnection(plan: SimulatedPeer.Plan) -> (near: SimulatedEndpoint, peer: SimulatedPeer) {
        let near = SimulatedEndpoint(receiveBytes: socketBufferBytes, transmitBytes: socketBufferBytes)
        let far = SimulatedEndpoint(receiveBytes: socketBufferBytes, transmitBytes: socketBufferBytes)
        near.partner = far
        far.partner = near
        endpoints.append(near)
        endpoints.append(far)
        let peer = SimulatedPeer(stream: UInt32(peers.count), plan: plan, endpoint: far, network: self)
        peers.append(peer)
        return (near, peer)
    }

    func withScratch(_ count: Int, _ body: (UnsafeMutableRawPointer) -> Void) {
        if count > scratchBytes {
            unsafe scratch.deallocate()
            unsafe scratch = .allocate(byteCount: count, alignment: 16)
            scratchBytes = count
        }
        unsafe body(scratch)
    }

    // MARK: Wires

    /// Sets what `endpoint` has written on its way.
    func transmit(_ endpoint: SimulatedEndpoint) {
        guard !endpoint.isDeliveryScheduled else { return }
        let hasBytes = !endpoint.transmitQueue.isEmpty
        guard hasBytes || (endpoint.endQueued && !endpoint.endDelivered) else { return }
        endpoint.isDeliveryScheduled = true
        events.add(.delivery(endpoint), atNs: nowNs + latency())
    }

    private func latency() -> UInt64 {
        perturbation.latencyMaxNs == 0 ? 0 : random.next() % perturbation.latencyMaxNs
    }

    /// What `endpoint` has written arrives.
    func deliver(from endpoint: SimulatedEndpoint) {
        endpoint.isDeliveryScheduled = false
        let other = endpoint.other
        guard !endpoint.hasVanished, !other.hasVanished, !endpoint.hasFailed else { return }
        if other.isClosed {
            // Bytes for nobody are answered with a reset; an end is not.
            if !endpoint.transmitQueue.isEmpty { fail(endpoint, ECONNRESET) }
            endpoint.endDelivered = endpoint.endQueued
            return
        }
        var count = min(endpoint.transmitQueue.count, other.receiveQueue.free)
        if count > 1, random.chance(perturbation.shortRead) { count = random.number(1, count) }
        if count > 0 { endpoint.transmitQueue.move(count, to: other.receiveQueue) }
        if endpoint.transmitQueue.isEmpty, endpoint.endQueued, !endpoint.endDelivered {
            endpoint.endDelivered = true
            other.endArrived = true
            other.wake(network: self, hasNews: true)
        } else if count > 0 {
            other.wake(network: self, hasNews: true)
        }
        if count > 0 { endpoint.wake(network: self, hasNews: false) }
        // What does not fit goes on when the reader has made room.
        if other.receiveQueue.free > 0 { transmit(endpoint) }
    }

    /// The owner of `endpoint` lets go of it.
    func close(_ endpoint: SimulatedEndpoint) {
        guard !endpoint.isClosed else { return }
        endpoint.isClosed = true
        if endpoint.resetsOnClose || !endpoint.receiveQueue.isEmpty {
            endpoint.transmitQueue.removeAll()
            events.add(.reset(endpoint.other), atNs: nowNs + latency())
        } else {
            endpoint.endQueued = true
            transmit(endpoint)
        }
    }

    func fail(_ endpoint: SimulatedEndpoint, _ error: Int32) {
        guard !endpoint.hasFailed, !endpoint.hasVanished, error == ETIMEDOUT || !endpoint.other.hasVanished
        else { return }
        endpoint.hasFailed = true
        endpoint.error = error
        endpoint.transmitQueue.removeAll()
        endpoint.wake(network: self, hasNews: true)
    }

    /// Retransmissions stayed unanswered for too long.
    func giveUp(_ endpoint: SimulatedEndpoint) {
        guard !endpoint.isClosed, !endpoint.transmitQueue.isEmpty else { return }
        fail(endpoint, ETIMEDOUT)
    }

    // MARK: Who has something to do

    func touch(_ socket: SimulatedSocket) {
        guard !socket.isTouched else { return }
        socket.isTouched = true
        touchedSockets.append(socket)
    }

    func touch(_ peer: SimulatedPeer) {
        guard !peer.isTouched else { return }
        peer.isTouched = true
        touchedPeers.append(peer)
    }

    func takeTouchedSocket() -> SimulatedSocket? {
        guard let socket = touchedSockets.popLast() else { return nil }
        socket.isTouched = false
        return socket
    }

    func takeTouchedPeer() -> SimulatedPeer? {
        guard let peer = touchedPeers.popLast() else { return nil }
        peer.isTouched = false
        return peer
    }
}
