internal import Glibc

/// Chooses the chain of an accepted connection, if need be by what the client says first.
///
///     accepted ─▶ chosen by port and address ─────────────────────────────▶ begins
///         └─▶ polled ─▶ peeked at, until it is clear ─▶ poll's last answer in ─┘
///
/// The bytes stay in the socket: the chain reads them as if nobody had looked, TLS by a handshake of its own or another
/// end by a relay, spliced if it comes to that. Nothing is sent before the choice.
extension Connection {
    func chooseChain(_ selector: ChainSelector) {
        switch selector.choose(for: self, .unknown) {
        case .chain(let index): begin(selector.chains[index])
        case .needsFirstBytes:
            setHandler(FirstBytesWaiter(selector))
            state.flags.insert(.choosing)
            setTimer(atNs: worker.nowNs + selector.firstBytesTimeoutNs)
            pollForFirstBytes()
        case .none: close(.noFilterChain, reset: true)
        case .denied: close(.denied, reset: true)
        }
    }

    private func begin(_ chain: ListenerChain) {
        let first = chain.filters.makeFilters(for: self)
        let waiter = unsafe state.handler
        // No hook of the waiter runs: it is never told of bytes.
        unsafe state.handler = nil
        setHandler(first)
        let isDraining = unsafe (waiter?.takeUnretainedValue() as? FirstBytesWaiter)?.isDraining ?? false
        unsafe waiter?.release()
        notify { $0.onAccepted(self) }
        guard isOpen else { return }
        if isDraining { notify { $0.onDrain(self) } }
        guard isOpen else { return }
        if let tls = chain.tls {
            secure(tls)
        } else {
            notify { $0.onConnected(self) }
        }
    }

    // MARK: First bytes

    private func pollForFirstBytes() {
        state.flags.insert(.pollingReadable)
        state.inFlight += 1
        worker.io { $0.poll(state.socket, writable: false, id(.readable)) }
    }

    /// The poll of a connection that is `.choosing` has answered, and for the last time unless it is still
    /// `.pollingReadable`.
    func firstBytesReady(_ result: Int32) {
        guard let waiter = unsafe state.handler?.takeUnretainedValue() as? FirstBytesWaiter else { return }
        if waiter.firstBytes == .unknown, !look(waiter, events: result) { return }
        if waiter.firstBytes == .unknown {
            if !state.flags.contains(.pollingReadable) { pollForFirstBytes() }
        } else if !state.flags.contains(.pollingReadable) {
            choose(waiter)
        } else if !state.flags.contains(.pollCancelled) {
            state.flags.insert(.pollCancelled)
            worker.io { $0.cancel(id(.readable)) }
        }
    }

    /// Looks at what there is. False when that has closed the connection.
    private func look(_ waiter: FirstBytesWaiter, events: Int32) -> Bool {
        let memory = unsafe worker.tlsMemory.gathering
        let count = worker.io {
            unsafe $0.peek(state.socket, memory, ClientHello.bytesMax, bytesMin: waiter.bytesMin)
        }
        guard count >= 0 else {
            if count == -Int(EAGAIN) { return true }
            close(.of(error: Int32(-count)))
            return false
        }
        let bytes = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(memory), byteCount: min(count, ClientHello.bytesMax))
        switch count < waiter.bytesMin ? .incomplete(bytesMin: waiter.bytesMin) : ClientHello.read(bytes) {
        case .plain: waiter.firstBytes = .plain
        case .hello(let hello): waiter.firstBytes = .hello(hello)
        case .malformed:
            state.counters.add(to: ListenerStat.firstBytesMalformed)
            close(.tlsProtocolError, reset: true)
            return false
        case .incomplete(let bytesMin):
            waiter.bytesMin = bytesMin
            guard events & Int32(POLLHUP | POLLERR) == 0, events & Self.peerEnded == 0 else {
                close(.tlsHandshakeAborted)
                return false
            }
        }
        return true
    }

    /// POLLRDHUP of poll(2): the peer has ended its stream.
    private static let peerEnded: Int32 = 0x2000

    private func choose(_ waiter: FirstBytesWaiter) {
        state.flags.remove(.choosing)
        cancelTimer()
        state.counters.add(
            to: waiter.firstBytes == .plain ? ListenerStat.firstBytesPlain : ListenerStat.firstBytesHello)
        switch waiter.selector.choose(for: self, waiter.firstBytes) {
        case .chain(let index): begin(waiter.selector.chains[index])
        case .none, .needsFirstBytes: close(.noFilterChain, reset: true)
        case .denied: close(.denied, reset: true)
        }
    }

    func firstBytesTimedOut() {
        state.counters.add(to: ListenerStat.firstBytesTimeouts)
        close(.tlsHandshakeTimeout, reset: true)
    }
}

/// Stands in for the filters of a connection until it is known which it gets.
private final class FirstBytesWaiter: ConnectionHandler {
    let selector: ChainSelector
    var firstBytes = FirstBytes.unknown
    /// With fewer there is nothing new to see.
    var bytesMin = 1
    private(set) var isDraining = false

    init(_ selector: ChainSelector) {
        self.selector = selector
        super.init()
    }

    override func onDrain(_ connection: Connection) { isDraining = true }
}
