internal import Engine
internal import HTTP
internal import Upstream

/// What was written of the ways that exchanges took, to be copied where the next one takes the same: most requests
/// differ in what they ask for, not in where they go.
///
/// A table of fixed size in which an entry takes the place of the one that was there. It belongs to one chain, whose
/// routes and pools live as long as it does, so an address stands for the same object all the time.
@safe
final class SpanWayMemory {
    /// Everything that the texts depend on.
    struct Way: Equatable {
        private let route: ObjectIdentifier?
        private let pool: ObjectIdentifier?
        private let endpoint: Int32
        private let method: HTTPMethod
        private let version: HTTPVersion

        /// nil where the texts depend on more: for what went wrong, has tries of its own, or a method of its own.
        init?(_ stream: HTTPStream, _ trace: Stable<TraceState>) {
            guard stream.hot.value.flag == .none, stream.hot.value.info.hasHead, trace.value.tryCount == 0,
                trace.value.tryName.isEmpty, stream.request.method != .other
            else { return nil }
            route = stream.route.routeID
            pool = stream.route.poolID
            endpoint = stream.hot.value.info.endpoint
            method = stream.request.method
            version = stream.request.version
        }

        fileprivate var slot: Int {
            var hash = UInt64(route.map { UInt(bitPattern: $0) } ?? 0)
            hash ^= UInt64(pool.map { UInt(bitPattern: $0) } ?? 0) &<< 20
            hash ^= UInt64(UInt32(bitPattern: endpoint)) ^ UInt64(method.rawValue) &<< 32
            return Int((hash &* 0x9E37_79B9_7F4A_7C15) &>> 59)
        }
    }

    /// As many as the highest five bits of a hash tell apart.
    private static let slotCount = 32
    private static let slotBytes = 512

    private struct Entry {
        var way: Way?
        /// Of its texts.
        var byteCount = 0
    }

    // Not arrays, which are counted for each look at them.
    private let entries: UnsafeMutablePointer<Entry>
    /// 16 KiB; pages get memory when they are first written.
    private let texts: UnsafeMutableRawPointer

    init() {
        unsafe entries = .allocate(capacity: Self.slotCount)
        unsafe entries.initialize(repeating: Entry(), count: Self.slotCount)
        unsafe texts = .allocate(byteCount: Self.slotCount * Self.slotBytes, alignment: 64)
    }

    deinit {
        unsafe entries.deallocate()
        unsafe texts.deallocate()
    }

    /// The texts of a way; nil when it is not known, or not any more.
    func texts(of way: Way) -> ByteSlice? {
        let slot = way.slot
        let entry = unsafe entries[slot]  // the slot is one of them
        guard entry.way == way else { return nil }
        return unsafe ByteSlice(start: texts + slot &* Self.slotBytes, count: entry.byteCount)  // kept below
    }

    /// Keeps the texts of a way, unless they are too long.
    func keep(_ bytes: ByteSlice, of way: Way) {
        guard bytes.count <= Self.slotBytes else { return }
        let slot = way.slot
        unsafe entries[slot] = Entry(way: way, byteCount: bytes.count)
        bytes.withSpan { span in
            unsafe span.withUnsafeBytes { source in
                guard let base = source.baseAddress else { return }
                unsafe (texts + slot * Self.slotBytes).copyMemory(from: base, byteCount: source.count)
            }
        }
    }
}
