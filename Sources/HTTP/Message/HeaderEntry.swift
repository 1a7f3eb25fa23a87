/// One field line of a head: where its name and value are, and what is known about it. 16 bytes.
struct HeaderEntry {
    /// Where the name's bytes begin; see `HeaderTable` for how locations are read.
    var name: UInt32
    /// Where the value's bytes begin.
    var value: UInt32
    var valueLength: UInt32
    var nameLength: UInt16
    /// Raw value of the `HeaderName`, 0 when the name is not a known one.
    var knownName: UInt8
    var flags: Flags

    struct Flags: OptionSet {
        let rawValue: UInt8
        /// Taken out by a filter; the entry stays so that the order of the others does not change.
        static let removed = Flags(rawValue: 1)
        /// For this connection only: a hop-by-hop name, or one that `Connection` lists (RFC 9110 §7.6.1).
        static let hopByHop = Flags(rawValue: 2)
        /// Stands in the head exactly as it would be written: name, colon, one space, value, CRLF.
        static let canonical = Flags(rawValue: 4)
        /// Arrived in a trailer section but may not be there (RFC 9110 §6.5.1).
        static let forbiddenInTrailers = Flags(rawValue: 8)
        /// Must not enter the compression context of any hop (RFC 7541 §7.1.3).
        static let neverIndexed = Flags(rawValue: 16)
    }

    /// What keeps a field from being forwarded.
    static let unforwardable: Flags = [.removed, .hopByHop, .forbiddenInTrailers]
}

/// Growable storage for entries whose memory is kept from one head to the next.
@safe
struct HeaderEntryStorage: ~Copyable {
    private var base: UnsafeMutablePointer<HeaderEntry>
    private var capacity: Int
    private(set) var count = 0

    init(capacity: Int) {
        precondition(capacity > 0, "a header table holds at least one entry")
        unsafe base = .allocate(capacity: capacity)
        self.capacity = capacity
    }

    deinit { unsafe base.deallocate() }  // entries are trivial

    subscript(index: Int) -> HeaderEntry {
        @inline(__always) get {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "header index out of range")
            return unsafe base[index]  // index < count
        }
        @inline(__always) set {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "header index out of range")
            unsafe base[index] = newValue  // index < count
        }
    }

    @inline(__always)
    mutating func append(_ entry: HeaderEntry) {
        if count == capacity { grow() }
        unsafe (base + count).initialize(to: entry)  // count < capacity
        count &+= 1
    }

    mutating func removeAll() { count = 0 }

    /// Doubles the room. Parsed fields never come here, their number is limited to the initial capacity; fields that
    /// filters add may.
    @inline(never)
    private mutating func grow() {
        let larger = UnsafeMutablePointer<HeaderEntry>.allocate(capacity: capacity * 2)
        unsafe larger.moveInitialize(from: base, count: count)
        unsafe base.deallocate()
        unsafe base = larger
        capacity *= 2
    }
}
