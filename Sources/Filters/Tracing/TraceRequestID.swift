internal import HTTP

/// What `x-request-id` tells about tracing: a number that every proxy on the way makes of the same id in the same way,
/// and, where `pack_trace_reason` is on, why the request is traced.
enum TraceRequestID {
    /// Where Envoy writes the reason: the first digit of a UUID's third group, which says the version otherwise.
    private static let reasonIndex = 14
    private static let uuidBytes = 36

    /// 0 to 999,999, the same for the same id on every proxy. Any bytes will do, so ids of any shape are sampled.
    ///
    /// All bytes, eight at once as little-endian numbers, the last ones filled up with zeros, each mixed in by a
    /// multiplication; at the end their count, and the finalizer of MurmurHash3. A multiplication for each byte took
    /// 50 ns of a request. Part of what proxies of different versions have to agree on: never change it.
    static func pivot(of id: ByteSlice) -> UInt32 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        id.withSpan { span in
            let count = span.byteCount
            var offset = 0
            while offset &+ 8 <= count {
                let word = unsafe span.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self)
                hash = mixed(hash ^ UInt64(littleEndian: word))
                offset &+= 8
            }
            var rest: UInt64 = 0
            var shift: UInt64 = 0
            while offset < count {
                rest |= UInt64(unsafe span.unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)) &<< shift
                shift &+= 8
                offset &+= 1
            }
            if shift > 0 { hash = mixed(hash ^ rest) }
            hash = mixed(hash ^ UInt64(count))
        }
        hash &*= 0xC4CE_B9FE_1A85_EC53
        hash ^= hash >> 33
        return UInt32(hash % 1_000_000)
    }

    @inline(__always)
    private static func mixed(_ word: UInt64) -> UInt64 {
        let product = word &* 0xFF51_AFD7_ED55_8CCD
        return product ^ product >> 33
    }

    /// The same for a UUID as Envoy makes it, of the first eight digits; nil for other ids.
    static func packedPivot(of id: ByteSlice) -> UInt32? {
        guard isUUID(id), let digits = id[0..<8].hexadecimal else { return nil }
        return UInt32(digits % 10_000) * 100
    }

    /// What an earlier proxy wrote; nil for an id that has no room for it.
    static func packedReason(in id: ByteSlice) -> TraceReason? {
        guard isUUID(id) else { return nil }
        switch id[reasonIndex] {
        case UInt8(ascii: "9"): return .sampled
        case UInt8(ascii: "a"): return .serviceForced
        case UInt8(ascii: "b"): return .clientForced
        default: return TraceReason.notTraced
        }
    }

    static func pack(_ reason: TraceReason, into head: inout RequestHead) {
        guard let id = head.headers[.xRequestId], isUUID(id) else { return }
        let digit =
            switch reason {
            case .notTraced, .late: UInt8(ascii: "4")
            case .sampled, .parent: UInt8(ascii: "9")
            case .serviceForced: UInt8(ascii: "a")
            case .clientForced: UInt8(ascii: "b")
            }
        guard id[reasonIndex] != digit else { return }
        unsafe withUnsafeTemporaryAllocation(byteCount: uuidBytes, alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { return }
            var writer = unsafe ByteWriter(start: start, capacity: uuidBytes)
            writer.append(id[0..<reasonIndex])
            writer.append(digit)
            writer.append(id[(reasonIndex + 1)..<uuidBytes])
            head.headers.set(.xRequestId, unsafe ByteSlice(start: start, count: writer.count))  // written just now
        }
    }

    private static func isUUID(_ id: ByteSlice) -> Bool {
        guard id.count == uuidBytes else { return false }
        for index in 0..<uuidBytes {
            switch index {
            case 8, 13, 18, 23: if id[index] != UInt8(ascii: "-") { return false }
            default: if id[index..<(index + 1)].hexadecimal == nil { return false }
            }
        }
        return true
    }
}
