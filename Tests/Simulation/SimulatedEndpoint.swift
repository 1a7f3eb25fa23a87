internal import Engine
internal import Glibc

/// One end of a connection as its kernel keeps it: what arrived and was not read, what was written and has not
/// arrived. The other end is either a socket of the worker or a `SimulatedPeer`.
final class SimulatedEndpoint {
    let receiveQueue: ByteQueue
    let transmitQueue: ByteQueue
    /// Set once, right after both were made; the network keeps both alive.
    unowned var partner: SimulatedEndpoint?
    weak var socket: SimulatedSocket?
    weak var peer: SimulatedPeer?

    /// The other end's stream has ended, and everything before that has arrived.
    var endArrived = false
    /// Our stream ends after what is in `transmitQueue`.
    var endQueued = false
    var endDelivered = false
    /// A reset arrived, or this kernel gave up: operations fail with `error` once what arrived was read.
    var hasFailed = false
    var error: Int32 = ECONNRESET
    var isClosed = false
    /// A peer that is gone without a word: nothing arrives from it or at it.
    var hasVanished = false
    var isDeliveryScheduled = false
    /// Where this end is; nil when it does not matter.
    var address: NetworkAddress?
    /// Makes the close a reset (SO_LINGER with 0 seconds).
    var resetsOnClose = false

    init(receiveBytes: Int, transmitBytes: Int) {
        receiveQueue = ByteQueue(capacity: receiveBytes)
        transmitQueue = ByteQueue(capacity: transmitBytes)
    }

    var other: SimulatedEndpoint {
        guard let partner else { preconditionFailure("an end of no connection") }
        return partner
    }

    /// There is something that a read would not wait for.
    var isReadable: Bool { !receiveQueue.isEmpty || endArrived || hasFailed }
    /// The kernel calls a socket writable when a third of its memory is free.
    var isWritable: Bool { transmitQueue.free * 3 >= transmitQueue.capacity || endQueued || hasFailed }

    /// Something for the reader happened here.
    func wake(network: SimulatedNetwork, hasNews: Bool) {
        if let socket {
            if hasNews { socket.hasNews = true }
            network.touch(socket)
        } else if let peer {
            network.touch(peer)
        }
    }
}

/// The server side of an address: what becomes of connects to it.
package final class SimulatedServer {
    package enum Answer: Sendable {
        case accept
        case refuse
        case unreachable
        /// No answer at all.
        case blackHole
    }

    /// Asked for each connect, with its number from 0.
    package var answer: (Int) -> Answer = { _ in .accept }
    package var plan: (Int) -> SimulatedPeer.Plan = { _ in SimulatedPeer.Plan() }
    /// What the peer of each connection says, nil for the pattern.
    package var dialogue: (SimulatedPeer) -> SimulatedDialogue? = { _ in nil }
    /// How long a connect takes.
    package var connectNs: (Int) -> UInt64 = { _ in 0 }
    /// In the order of acceptance.
    package internal(set) var peers: [SimulatedPeer] = []
    package internal(set) var connectCount = 0

    package init() {}
}
