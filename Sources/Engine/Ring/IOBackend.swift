/// Everything a worker asks of the operating system: the seam behind which io_uring, and the simulation
/// that tests use, stand. Nothing above `Ring/` names io_uring.
///
/// Operations are queued by the calls below and handed over by the next `wait`, which also returns what has
/// completed. An operation answers once, or several times with `.more` until one comes without it; only
/// that last answer proves that the kernel has let go of the descriptor and the memory it was given.
/// All calls come from the worker's own thread.
open class IOBackend {
    public init() {}

    /// Called once on the worker's thread before anything else. Throws when the system refuses.
    package func start() throws(SystemLack) { fatalError("abstract") }
    package func stop() { fatalError("abstract") }

    /// Hands over what is queued and waits until at least one answer is there or `timeoutNs` has passed
    /// (nil: no limit; 0: do not sleep). Fills `completions` and returns how many there are.
    package func wait(timeoutNs: UInt64?, into completions: CompletionBatch) -> Int { fatalError("abstract") }

    /// Monotonic time. Read by the worker before and after it waits.
    package func nowNs() -> UInt64 { fatalError("abstract") }

    /// CPU time that the worker's thread has used; 0 where nobody counts it.
    package func cpuTimeNs() -> UInt64 { 0 }

    // MARK: Operations

    /// - Parameter multishot: stay armed after the first connection. Only for a listening socket that no other
    ///   ring accepts from: a shared multishot listener starves all rings but one.
    package func accept(_ socket: Int32, multishot: Bool, _ id: OperationID) { fatalError("abstract") }
    /// Receives into provided buffers until cancelled, ended or out of buffers (-ENOBUFS).
    package func receive(_ socket: Int32, _ id: OperationID) { fatalError("abstract") }
    /// Receives once, at most `max` bytes, into a provided buffer.
    package func receiveOnce(_ socket: Int32, max: Int, _ id: OperationID) { fatalError("abstract") }
    /// Sends all of it unless the connection fails. The bytes stay untouched until the answer.
    ///
    /// - Parameter endsStream: `shutdownWrite` or `close` follows the answer at once, so the last packet may wait for it
    package func send(_ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int, endsStream: Bool, _ id: OperationID) {
        fatalError("abstract")
    }
    package func send(_ socket: Int32, _ vector: SendVector, endsStream: Bool, _ id: OperationID) {
        fatalError("abstract")
    }
    package func connect(_ socket: Int32, to address: NetworkAddress, _ id: OperationID) { fatalError("abstract") }
    /// Answers when `descriptor` is readable or (`writable`) writable, or has failed.
    ///
    /// - Parameter multishot: answers each time it becomes so, until cancelled
    package func poll(_ descriptor: Int32, writable: Bool, multishot: Bool, _ id: OperationID) {
        fatalError("abstract")
    }
    package func watchMailbox(_ descriptor: Int32, _ id: OperationID) { fatalError("abstract") }
    package func cancel(_ id: OperationID) { fatalError("abstract") }
    /// Cancels all that is in flight on `descriptor`.
    package func cancelAll(_ descriptor: Int32) { fatalError("abstract") }
    /// Closes in order with the other operations. Nothing may be in flight on it.
    package func close(_ descriptor: Int32) { fatalError("abstract") }

    // MARK: Buffers

    /// Registers `entries` (a power of two) places for receive buffers.
    package func registerBuffers(entries: Int) throws(SystemLack) { fatalError("abstract") }
    /// Gives the kernel a buffer to receive into; it counts from the next `publishBuffers`.
    package func provide(_ buffer: UInt16, _ memory: UnsafeMutableRawPointer, _ size: Int) { fatalError("abstract") }
    package func publishBuffers() { fatalError("abstract") }

    // MARK: Direct calls: they never sleep

    /// A stream socket for `address`'s family, non-blocking, without Nagle's delay; or a negative errno.
    package func openSocket(for address: NetworkAddress) -> Int32 { fatalError("abstract") }
    /// Sends as much of a few last bytes as the socket takes at once; nobody hears how much.
    package func sendNow(_ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int) { fatalError("abstract") }
    /// nil turns it off. Does nothing where there is no kernel to do it, and on Unix sockets.
    package func setKeepAlive(_ keepAlive: TCPKeepAlive?, on socket: Int32) {}
    package func shutdownWrite(_ socket: Int32) { fatalError("abstract") }
    /// Makes the coming close send a reset instead of an orderly end.
    package func resetOnClose(_ socket: Int32) { fatalError("abstract") }
    /// Bytes that the peer has not acknowledged yet; 0 when that cannot be told.
    package func unsentBytes(_ socket: Int32) -> Int { fatalError("abstract") }
    /// Lets a TCP listener that is about to close begin no further handshake. Those that have begun complete, so
    /// that all of them can be accepted before the close, which would reset them.
    package func refuseHandshakes(_ socket: Int32) {}
    /// Takes one connection from a listener that is about to close, or a negative errno.
    package func acceptNow(_ socket: Int32) -> Int32 { fatalError("abstract") }
    /// The address of the peer of a connected socket, or nil when it is gone.
    package func peerAddress(of socket: Int32) -> NetworkAddress? { fatalError("abstract") }
    /// The address that a socket is bound to, or nil.
    package func localAddress(of socket: Int32) -> NetworkAddress? { fatalError("abstract") }
    /// Copies up to `count` bytes that wait in a socket, which stay there, as soon as there are `bytesMin`. Answers how
    /// many wait, fewer than `bytesMin` when nothing was copied, or a negative errno.
    package func peek(_ socket: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int, bytesMin: Int) -> Int {
        fatalError("abstract")
    }
    /// Moves up to `count` bytes between a socket and a pipe: bytes moved, 0 at the end, or a negative errno.
    package func splice(from: Int32, to: Int32, count: Int, more: Bool) -> Int { fatalError("abstract") }
    /// A pipe of about `capacity` bytes: (read end, write end, capacity), or nil when none is to be had.
    package func openPipe(capacity: Int) -> (read: Int32, write: Int32, capacity: Int)? { fatalError("abstract") }

    package func statistics() -> BackendStatistics { fatalError("abstract") }
}

/// What the backend counted since it started; the worker copies it into its stats once a turn.
package struct BackendStatistics: Sendable {
    package var enters: UInt64 = 0
    package var overflows: UInt64 = 0

    package init() {}
}

/// Fixed storage for one turn's answers, filled by the backend and read by the worker.
@safe
package struct CompletionBatch {
    package static let capacity = 512
    private let storage: UnsafeMutablePointer<Completion>

    package init() {
        unsafe storage = .allocate(capacity: Self.capacity)
        let none = Completion(id: OperationID(rawValue: 0), result: 0)
        unsafe storage.initialize(repeating: none, count: Self.capacity)
    }

    package subscript(index: Int) -> Completion {
        @inline(__always) get {
            assert(index >= 0 && index < Self.capacity)
            return unsafe storage[index]
        }
        @inline(__always) nonmutating set {
            assert(index >= 0 && index < Self.capacity)
            unsafe storage[index] = newValue
        }
    }

    package func destroy() { unsafe storage.deallocate() }
}

/// Something that the system does not grant: which, why, and what an operator can do about it.
/// Printed in one line; the process then exits with 69.
public struct SystemLack: Error, Sendable, CustomStringConvertible {
    /// What is missing, and why if that can be told.
    public var what: String
    /// What an operator can do about it.
    public var remedy: String

    public init(_ what: String, remedy: String) {
        self.what = what
        self.remedy = remedy
    }

    public var description: String { "\(what); \(remedy)" }
}
