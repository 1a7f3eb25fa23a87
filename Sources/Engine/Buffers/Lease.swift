/// A slice of received (or locally made) bytes with one owner.
///
/// A lease is moved, never shared: to the next filter, to another connection's `write`, or back with
/// `discard`. One that is merely dropped keeps its buffer from the pool for good, which is why the type is
/// noncopyable and why tests count leases. Slices of one buffer are leases of their own (`takeFront`).
@safe
public struct Lease: ~Copyable {
    package private(set) var start: UnsafeMutableRawPointer
    /// Bytes in the slice.
    public private(set) var count: Int
    /// The buffer that the slice keeps from being reused; see `BufferPool`.
    package let buffer: UInt32

    package init(start: UnsafeMutableRawPointer, count: Int, buffer: UInt32) {
        unsafe self.start = start
        self.count = count
        self.buffer = buffer
    }

    /// Makes this the rest of the slice, without its first `count` bytes.
    mutating func dropFirst(_ count: Int) {
        unsafe start += count
        self.count -= count
    }

    /// Reads the bytes in place. Nothing of the span may outlive `body`.
    @inlinable
    public func withBytes<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
        try body(bytes)
    }

    @usableFromInline
    package var bytes: RawSpan {
        // The buffer is held by this lease, so the bytes stay where they are while it is borrowed.
        @_lifetime(borrow self) get {
            let span = unsafe RawSpan(_unsafeStart: start, byteCount: count)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }
}
