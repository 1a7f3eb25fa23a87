internal import Glibc

/// The scatter list of one send in flight: a message header and up to 64 slices.
///
/// Lives until the send's answer, so it comes from a pool and not from the stack.
@safe
package struct SendVector {
    package static let slicesMax = 64

    /// A `msghdr` followed by its `iovec`s.
    package let message: UnsafeMutableRawPointer

    package init() {
        let header = unsafe MemoryLayout<msghdr>.stride
        let bytes = unsafe header + Self.slicesMax * MemoryLayout<iovec>.stride
        unsafe message = .allocate(byteCount: bytes, alignment: 16)
        unsafe message.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        let slices = unsafe (message + header).bindMemory(to: iovec.self, capacity: Self.slicesMax)
        unsafe message.bindMemory(to: msghdr.self, capacity: 1).pointee.msg_iov = slices
    }

    /// Slices must be set from 0 upwards; `count` makes the first ones the message.
    package func set(_ index: Int, _ start: UnsafeMutableRawPointer, _ count: Int) {
        precondition(index < Self.slicesMax)
        unsafe message.assumingMemoryBound(to: msghdr.self).pointee.msg_iov[index] = iovec(
            iov_base: start, iov_len: count)
    }

    package func finish(count: Int) {
        unsafe message.assumingMemoryBound(to: msghdr.self).pointee.msg_iovlen = count
    }

    /// The slices, for backends that send by hand.
    package func forEachSlice(_ body: (UnsafeRawPointer, Int) -> Void) {
        let header = unsafe message.assumingMemoryBound(to: msghdr.self).pointee
        for index in 0..<Int(unsafe header.msg_iovlen) {
            let slice = unsafe header.msg_iov[index]
            unsafe body(UnsafeRawPointer(slice.iov_base), slice.iov_len)
        }
    }

    package func destroy() { unsafe message.deallocate() }
}

/// Send vectors in use at once are few (only sends that gather need one), so freed ones are kept.
struct SendVectorPool {
    private var vectors: [SendVector] = []
    private var free: [UInt32] = []

    mutating func take() -> UInt32 {
        if let index = free.popLast() { return index }
        vectors.append(SendVector())
        return UInt32(vectors.count - 1)
    }

    mutating func giveBack(_ index: UInt32) { free.append(index) }

    subscript(index: UInt32) -> SendVector { vectors[Int(index)] }

    func destroy() {
        for vector in vectors { vector.destroy() }
    }
}
