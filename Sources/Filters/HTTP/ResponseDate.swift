internal import Glibc
internal import HTTP

/// Now, as `Date` says it (RFC 9110 §6.6.1): written once a second, for one worker.
@safe
final class ResponseDate {
    private var second: Int64 = -1
    private let text: UnsafeMutableRawPointer

    init() { unsafe text = .allocate(byteCount: HTTPDate.byteCount, alignment: 1) }

    deinit { unsafe text.deallocate() }

    /// Good until the next call.
    var current: ByteSlice {
        let now = Int64(time(nil))
        if now != second { write(now) }
        return unsafe ByteSlice(start: text, count: HTTPDate.byteCount)  // written, and there as long as this object
    }

    private func write(_ now: Int64) {
        second = now
        var writer = unsafe ByteWriter(start: text, capacity: HTTPDate.byteCount)
        HTTPDate.write(epochSeconds: now, to: &writer)
    }
}
