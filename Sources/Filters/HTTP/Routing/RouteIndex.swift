internal import HTTP

/// Routes of one table by their position in it, ascending: a piece of the table's list of candidates.
struct RouteList: Sendable {
    var start: UInt32 = 0
    var count: UInt32 = 0
}

/// Byte strings with something each, found by hash: open addressing, at most half full.
struct RouteIndex<Value: Sendable>: Sendable {
    private struct Entry: Sendable {
        let key: RouteText
        let value: Value
    }

    private let entries: RouteArray<Entry>
    /// Number of an entry plus one, 0 for none; collisions sit in the following slots.
    private let slots: RouteArray<UInt32>

    /// The keys differ from each other.
    init(_ values: [(key: RouteText, value: Value)], in memory: RouteMemory) {
        var capacity = 2
        while capacity < values.count * 2 { capacity *= 2 }
        var slots = [UInt32](repeating: 0, count: values.isEmpty ? 0 : capacity)
        for (number, value) in values.enumerated() {
            var slot = Int(truncatingIfNeeded: RouteHash.hash(value.key.bytes)) & (capacity - 1)
            while slots[slot] != 0 { slot = (slot + 1) & (capacity - 1) }
            slots[slot] = UInt32(number + 1)
        }
        self.slots = memory.store(slots)
        entries = memory.store(values.map { Entry(key: $0.key, value: $0.value) })
    }

    func find(_ key: ByteSlice) -> Value? {
        guard !slots.isEmpty else { return nil }
        let mask = slots.count &- 1
        var slot = Int(truncatingIfNeeded: RouteHash.hash(key)) & mask
        while slots[slot] != 0 {
            let number = Int(slots[slot]) &- 1
            if entries[number].key.bytes == key { return entries[number].value }
            slot = (slot &+ 1) & mask
        }
        return nil
    }
}
