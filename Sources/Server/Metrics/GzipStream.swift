internal import CZlib

/// Compresses what it is given part by part (RFC 1952).
@safe
final class GzipStream {
    /// zlib keeps a pointer to it: it must not move.
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)

    /// Metrics shrink to a twentieth at the least effort, and to little less at more.
    private static let level: Int32 = 1
    /// 15 bits of window, in the wrapping of gzip.
    private static let windowBits: Int32 = 15 + 16
    private static let memoryLevel: Int32 = 8

    /// nil when there is no memory for it.
    init?() {
        unsafe stream.initialize(to: z_stream())
        let result = unsafe deflateInit2_(
            stream, Self.level, Z_DEFLATED, Self.windowBits, Self.memoryLevel, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size))
        guard result == Z_OK else {
            unsafe stream.deallocate()
            return nil
        }
    }

    deinit {
        unsafe deflateEnd(stream)
        unsafe stream.deallocate()
    }

    /// What can be sent of it so far; all of it when it is the last part.
    func compress(_ input: [UInt8], isLast: Bool) -> [UInt8] {
        var input = input
        return unsafe input.withUnsafeMutableBufferPointer { bytes in
            unsafe stream.pointee.next_in = bytes.baseAddress
            unsafe stream.pointee.avail_in = UInt32(bytes.count)
            var output: [UInt8] = []
            var isDone = false
            while !isDone {
                output += unsafe [UInt8](unsafeUninitializedCapacity: 16 * 1024) { room, count in
                    unsafe stream.pointee.next_out = room.baseAddress
                    unsafe stream.pointee.avail_out = UInt32(room.count)
                    let result = unsafe deflate(stream, isLast ? Z_FINISH : Z_NO_FLUSH)
                    count = unsafe room.count - Int(stream.pointee.avail_out)
                    isDone = unsafe isLast ? result != Z_OK : stream.pointee.avail_out > 0
                }
            }
            return output
        }
    }
}
