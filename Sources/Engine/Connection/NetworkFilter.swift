/// A filter at layer 3 or 4. Subclass it, override the hooks that matter, and add one registration line.
///
/// One instance serves one connection; what it needs to know it keeps in its own properties. The filters of
/// a connection form a chain in the order of the configuration; the last one is terminal: it does something
/// with the bytes (proxies, answers) and forwards nothing. Each hook's default passes the event on. A filter
/// that holds an event back (to wait for a timer, or an answer) passes it on later by itself.
///
///     accept ─▶ onAccepted  ─▶ … ─▶ terminal filter
///     (TLS)  ─▶ onConnected ─▶ … ─▶ terminal filter
///     bytes  ─▶ onData      ─▶ … ─▶ terminal filter     (observesData only)
///     bytes  ◀─ onWrite     ◀─ … ◀─ terminal filter     (observesWrites only)
///
/// A filter that observes nothing costs nothing per byte: bytes then go from one side to the other without
/// passing through the chain, and large streams without passing through user space.
open class NetworkFilter: ConnectionHandler {
    /// The downstream connection.
    public let connection: Connection
    // Set once while the chain is built.
    package final var next: NetworkFilter?
    package final unowned(unsafe) var previous: NetworkFilter?

    /// - Parameter connection: the downstream connection that this filter serves for life.
    public init(connection: Connection) {
        self.connection = connection
        super.init()
    }

    /// Whether this filter wants to see bytes from downstream. Asked when the chain has connected.
    open var observesData: Bool { false }
    /// Whether this filter wants to see bytes to downstream.
    open var observesWrites: Bool { false }

    open override func onAccepted(_ connection: Connection) { next?.onAccepted(connection) }
    open override func onConnected(_ connection: Connection) { next?.onConnected(connection) }

    open override func onData(_ data: consuming Lease, on connection: Connection) { forward(data) }

    /// Bytes on their way to downstream.
    open func onWrite(_ data: consuming Lease) { forwardWrite(data) }

    open override func onEnd(_ connection: Connection) { next?.onEnd(connection) }
    open override func onFlush(_ connection: Connection) { next?.onFlush(connection) }
    open override func onTransfer(_ event: TransferEvent, on connection: Connection) {
        next?.onTransfer(event, on: connection)
    }
    open override func onAboveHighWatermark(_ connection: Connection) { next?.onAboveHighWatermark(connection) }
    open override func onBelowLowWatermark(_ connection: Connection) { next?.onBelowLowWatermark(connection) }
    open override func onIdle(_ connection: Connection) {
        if let next { next.onIdle(connection) } else { connection.close(.idleTimeout) }
    }
    open override func onDeadline(_ connection: Connection) { next?.onDeadline(connection) }
    open override func onDrain(_ connection: Connection) { next?.onDrain(connection) }
    open override func onClose(_ connection: Connection, _ reason: CloseReason) { next?.onClose(connection, reason) }

    // MARK: For subclasses

    /// Passes bytes from downstream on to the next filter.
    public final func forward(_ data: consuming Lease) {
        if let next { next.onData(data, on: connection) } else { connection.worker.discard(data) }
    }

    /// Passes bytes to downstream on to the filter before this one; the first one's go to the connection.
    public final func forwardWrite(_ data: consuming Lease) {
        if let previous = unsafe previous { previous.onWrite(data) } else { connection.write(data) }
    }

    /// For terminal filters: whether an earlier filter wants to see bytes from downstream.
    public final var isDataObserved: Bool { anyEarlier { $0.observesData } }
    /// For terminal filters: whether an earlier filter wants to see bytes to downstream.
    public final var isWriteObserved: Bool { anyEarlier { $0.observesWrites } }

    private func anyEarlier(_ condition: (NetworkFilter) -> Bool) -> Bool {
        var filter = unsafe previous
        while let current = filter {
            if condition(current) { return true }
            filter = unsafe current.previous
        }
        return false
    }
}

/// Makes one kind of filter, with one configuration, on one worker.
open class NetworkFilterFactory {
    public init() {}

    /// A new filter for `connection`, which has just been accepted. Subclasses override it.
    open func makeFilter(for connection: Connection) -> NetworkFilter { fatalError("makeFilter is abstract") }
}

/// The filters that connections of a listener get on one worker, the terminal one last.
package final class NetworkFilterChain {
    private let factories: [NetworkFilterFactory]

    package init(_ factories: [NetworkFilterFactory]) {
        precondition(!factories.isEmpty, "a chain has a terminal filter")
        self.factories = factories
    }

    /// New filters for `connection`, linked. Answers the first, which keeps the others alive.
    package func makeFilters(for connection: Connection) -> NetworkFilter {
        let first = factories[0].makeFilter(for: connection)
        var last = first
        for factory in factories.dropFirst() {
            let filter = factory.makeFilter(for: connection)
            last.next = filter
            unsafe filter.previous = last
            last = filter
        }
        return first
    }
}
