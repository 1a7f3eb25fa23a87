/// The fields of one head or trailer section, in the order and case they arrived, with what filters changed.
///
/// Parsed fields are (offset, length) pairs into the bytes of the head, which the connection keeps in place; added
/// and changed ones point into the table's own arena. Nothing is copied or allocated for a field that is only parsed
/// and forwarded. The storage is reused: reset the table, do not make a new one.
///
/// A `ByteSlice` that the table hands out stays valid until the head is reset.
@safe
public struct HeaderTable: ~Copyable {
    private var entries: HeaderEntryStorage
    private var arena = HeaderArena()
    private var known = HeaderNameSet()
    /// The bytes of the received head; locations without the arena bit are offsets from its first byte.
    private var source = ByteSlice.empty

    /// The location of a known name that was added: its bytes are the program's own.
    private static let staticName = UInt32.max

    /// - Parameter capacity: entries to hold without growing, the configured header limit; at least 1.
    public init(capacity: Int) { entries = HeaderEntryStorage(capacity: capacity) }

    // Entries and arena free themselves. Written out because Swift 6.3's optimiser crashes where a public property
    // of this type is replaced and the destruction behind it is not public.
    deinit {}

    // MARK: Reading

    /// Positions of the fields. A position whose field was removed answers nil from `field(at:)`.
    public var indices: Range<Int> { 0..<entries.count }

    /// The field at a position of `indices`, or nil when it was removed.
    public func field(at index: Int) -> HeaderField? {
        let entry = entries[index]
        guard !entry.flags.contains(.removed) else { return nil }
        return HeaderField(known: HeaderName(rawValue: entry.knownName), name: name(of: entry), value: value(of: entry))
    }

    /// Whether any field has this name. Answers "no" without looking at the fields.
    public func contains(_ name: HeaderName) -> Bool { firstIndex(of: name) != nil }

    /// Whether any field has one of these names.
    @inline(__always)
    package func containsAny(of names: HeaderNameSet) -> Bool { known.intersects(names) }

    /// The value of the first field with this name.
    public subscript(_ name: HeaderName) -> ByteSlice? {
        guard let index = firstIndex(of: name) else { return nil }
        return value(of: entries[index])
    }

    /// The value of the first field with this name, known or not, in any case.
    public subscript(_ key: HeaderKey) -> ByteSlice? {
        guard let index = firstIndex(of: key) else { return nil }
        return value(of: entries[index])
    }

    /// Position of the first field with this name at or after `start`.
    public func firstIndex(of name: HeaderName, from start: Int = 0) -> Int? {
        guard known.contains(name) else { return nil }
        var index = start
        while index < entries.count {
            let entry = entries[index]
            if entry.knownName == name.rawValue, !entry.flags.contains(.removed) { return index }
            index &+= 1
        }
        return nil
    }

    /// Position of the first field with this name, known or not, at or after `start`.
    public func firstIndex(of key: HeaderKey, from start: Int = 0) -> Int? {
        if let name = key.known { return firstIndex(of: name, from: start) }
        return key.withBytes { firstIndex(ofUnknown: $0, from: start) }
    }

    // MARK: Changing

    /// Adds a field behind the others, named in lower case.
    ///
    /// - Returns: false, with nothing changed, when the value holds a byte that a field value may not hold or the
    ///   arena is full.
    @discardableResult
    public mutating func add(_ name: HeaderName, _ value: ByteSlice) -> Bool {
        guard let location = store(value) else { return false }
        addStored(name, TextRange(location: location, length: UInt32(value.count)))
        return true
    }

    /// Adds a field behind the others, named as `key` spells it. Fails as `add(_:_:)` does.
    @discardableResult
    public mutating func add(_ key: HeaderKey, _ value: ByteSlice) -> Bool {
        guard let valueLocation = store(value) else { return false }
        guard let nameLocation = key.withBytes({ arena.add($0) }) else { return false }
        entries.append(
            HeaderEntry(
                name: nameLocation, value: valueLocation, valueLength: UInt32(value.count),
                nameLength: UInt16(key.count), knownName: key.known?.rawValue ?? 0, flags: []))
        if let name = key.known { known.insert(name) }
        return true
    }

    /// Makes this the only field of its name: the first one changes its value in place and keeps its spelling, later
    /// ones are removed; without one it is added. Fails as `add(_:_:)` does.
    @discardableResult
    public mutating func set(_ name: HeaderName, _ value: ByteSlice) -> Bool {
        guard let first = firstIndex(of: name) else { return add(name, value) }
        guard replaceValue(at: first, with: value) else { return false }
        var next = firstIndex(of: name, from: first + 1)
        while let index = next {
            removeField(at: index)
            next = firstIndex(of: name, from: index + 1)
        }
        return true
    }

    /// `set` for a name that may be unknown.
    @discardableResult
    public mutating func set(_ key: HeaderKey, _ value: ByteSlice) -> Bool {
        guard let first = firstIndex(of: key) else { return add(key, value) }
        guard replaceValue(at: first, with: value) else { return false }
        var next = firstIndex(of: key, from: first + 1)
        while let index = next {
            removeField(at: index)
            next = firstIndex(of: key, from: index + 1)
        }
        return true
    }

    /// `set` with a value that `body` writes where it stays, at most `room` bytes.
    ///
    /// For what the program spells itself, such as ids: nobody looks whether a field value may hold it.
    @discardableResult
    @inline(__always)
    package mutating func set(_ name: HeaderName, room: Int, trusted body: (inout ByteWriter) -> Void) -> Bool {
        guard let value = arena.write(room: room, body) else { return false }
        guard let first = firstIndex(of: name) else {
            addStored(name, value)
            return true
        }
        setStored(value, at: first)
        var next = firstIndex(of: name, from: first + 1)
        while let index = next {
            removeField(at: index)
            next = firstIndex(of: name, from: index + 1)
        }
        return true
    }

    private mutating func addStored(_ name: HeaderName, _ value: TextRange) {
        entries.append(
            HeaderEntry(
                name: Self.staticName, value: value.location, valueLength: value.length, nameLength: 0,
                knownName: name.rawValue, flags: []))
        known.insert(name)
    }

    private mutating func setStored(_ value: TextRange, at index: Int) {
        entries[index].value = value.location
        entries[index].valueLength = value.length
        entries[index].flags.subtract([.canonical, .hopByHop])
    }

    /// Appends an element to a list-valued field: joins the last field of this name with `, `, or adds one.
    /// Fails as `add(_:_:)` does.
    @discardableResult
    public mutating func append(_ name: HeaderName, _ element: ByteSlice) -> Bool {
        var last: Int?
        var next = firstIndex(of: name)
        while let index = next {
            last = index
            next = firstIndex(of: name, from: index + 1)
        }
        guard let last, !value(of: entries[last]).isEmpty else { return set(name, element) }
        guard Self.isFieldValue(element) else { return false }
        var entry = entries[last]
        let separator: ByteSlice = ByteSlice(", ")
        let old = value(of: entry)
        guard let location = arena.add(old, separator, element) else { return false }
        entry.value = location
        entry.valueLength = UInt32(old.count + separator.count + element.count)
        entry.flags.subtract([.canonical, .hopByHop])
        entries[last] = entry
        return true
    }

    /// Removes every field with this name and says whether there was one.
    @discardableResult
    public mutating func remove(_ name: HeaderName) -> Bool {
        var found = false
        var next = firstIndex(of: name)
        while let index = next {
            removeField(at: index)
            found = true
            next = firstIndex(of: name, from: index + 1)
        }
        known.remove(name)
        return found
    }

    /// Removes every field with this name, known or not, and says whether there was one.
    @discardableResult
    public mutating func remove(_ key: HeaderKey) -> Bool {
        if let name = key.known { return remove(name) }
        var found = false
        var next = firstIndex(of: key)
        while let index = next {
            removeField(at: index)
            found = true
            next = firstIndex(of: key, from: index + 1)
        }
        return found
    }

    /// Removes the field at a position of `indices`.
    public mutating func removeField(at index: Int) { entries[index].flags.insert(.removed) }

    /// Gives the field at a position of `indices` another value; name and place stay. Fails as `add(_:_:)` does.
    ///
    /// A value that is given here is forwarded even where the peer's `Connection` names the field: a client must not
    /// be able to take out what the proxy says.
    @discardableResult
    public mutating func replaceValue(at index: Int, with value: ByteSlice) -> Bool {
        guard let location = store(value) else { return false }
        setStored(TextRange(location: location, length: UInt32(value.count)), at: index)
        return true
    }

    // MARK: Copying

    /// A table with the same fields that does not depend on where the bytes of this one are.
    package func copy() -> HeaderTable {
        var other = HeaderTable(capacity: max(entries.count, 1))
        copyFields(to: &other)
        return other
    }

    /// Appends the fields, with what is known about forwarding them. A field for which the arena has no room, which
    /// takes more than 2 MiB, is left out.
    package func copyFields(to other: inout HeaderTable) {
        for index in 0..<entries.count {
            var entry = entries[index]
            guard !entry.flags.contains(.removed) else { continue }
            guard let location = other.arena.add(value(of: entry)) else { continue }
            if entry.name != Self.staticName {
                guard let nameLocation = other.arena.add(name(of: entry)) else { continue }
                entry.name = nameLocation
            }
            entry.value = location
            entry.flags.remove(.canonical)
            other.entries.append(entry)
            other.known.insert(rawValue: entry.knownName)
        }
    }

    // MARK: For the parsers and writers

    /// Forgets all fields and every slice handed out.
    package mutating func reset() {
        entries.removeAll()
        arena.reset()
        known = HeaderNameSet()
        source = .empty
    }

    /// Names the bytes that parsed locations refer to: at first, and again when the owner has copied them elsewhere.
    package mutating func setSource(_ bytes: ByteSlice) { source = bytes }

    /// Number of positions, removed ones included.
    @inline(__always)
    var entryCount: Int { entries.count }

    @inline(__always)
    func entry(at index: Int) -> HeaderEntry { entries[index] }

    @inline(__always)
    mutating func appendParsed(_ entry: HeaderEntry) {
        entries.append(entry)
        known.insert(rawValue: entry.knownName)
    }

    mutating func insertFlag(_ flag: HeaderEntry.Flags, at index: Int) { entries[index].flags.insert(flag) }

    /// Marks every field with this name as hop-by-hop.
    mutating func markHopByHop(_ name: HeaderName) {
        var next = firstIndex(of: name)
        while let index = next {
            insertFlag(.hopByHop, at: index)
            next = firstIndex(of: name, from: index + 1)
        }
    }

    /// Marks every field with this name, known or not and in any case, as hop-by-hop.
    mutating func markHopByHop(named name: ByteSlice) {
        if let known = HeaderName(name) { return markHopByHop(known) }
        var next = firstIndex(ofUnknown: name, from: 0)
        while let index = next {
            insertFlag(.hopByHop, at: index)
            next = firstIndex(ofUnknown: name, from: index + 1)
        }
    }

    /// Makes one field of all with this name, their values with `separator` between them.
    ///
    /// - Returns: false, with nothing changed, when the arena is full.
    mutating func join(_ name: HeaderName, separator: ByteSlice) -> Bool {
        guard let first = firstIndex(of: name) else { return true }
        guard firstIndex(of: name, from: first + 1) != nil else { return true }
        var values: [ByteSlice] = []
        var next: Int? = first
        while let index = next {
            values.append(value(of: entries[index]))
            next = firstIndex(of: name, from: index + 1)
        }
        let room = values.reduce(0) { $0 + $1.count + separator.count }
        let joined = arena.write(room: room) { writer in
            for (position, value) in values.enumerated() {
                if position > 0 { writer.append(separator) }
                writer.append(value)
            }
        }
        guard let joined else { return false }
        next = firstIndex(of: name, from: first + 1)
        while let index = next {
            removeField(at: index)
            next = firstIndex(of: name, from: index + 1)
        }
        entries[first].value = joined.location
        entries[first].valueLength = joined.length
        entries[first].flags.remove(.canonical)
        return true
    }

    func name(of entry: HeaderEntry) -> ByteSlice {
        if entry.name == Self.staticName { return HeaderName(rawValue: entry.knownName)?.bytes ?? .empty }
        return slice(at: entry.name, length: Int(entry.nameLength))
    }

    func value(of entry: HeaderEntry) -> ByteSlice { slice(at: entry.value, length: Int(entry.valueLength)) }

    /// Bytes of the head or of the arena.
    @inline(__always)
    func slice(at location: UInt32, length: Int) -> ByteSlice {
        if location & HeaderArena.locationBit == 0 {
            let start = Int(location)
            return source[start..<start &+ length]
        }
        return arena.slice(at: location, length: length)
    }

    /// Writes text that is no field, such as another path, into the arena. Nil when it has no such room.
    mutating func storeText(room: Int, _ body: (inout ByteWriter) -> Void) -> TextRange? {
        arena.write(room: room, body)
    }

    // MARK: Details

    private func firstIndex(ofUnknown name: ByteSlice, from start: Int) -> Int? {
        var index = start
        while index < entries.count {
            let entry = entries[index]
            if entry.knownName == 0, Int(entry.nameLength) == name.count, !entry.flags.contains(.removed),
                self.name(of: entry).equalsIgnoringCase(name)
            {
                return index
            }
            index &+= 1
        }
        return nil
    }

    private mutating func store(_ value: ByteSlice) -> UInt32? {
        guard Self.isFieldValue(value) else { return nil }
        return arena.add(value)
    }

    /// RFC 9110 §5.5: no control bytes, no white space at the ends. What a filter computes from decoded input must
    /// not be able to start a new line.
    private static func isFieldValue(_ value: ByteSlice) -> Bool {
        guard !value.isEmpty else { return true }
        guard !ASCII.isBlank(value[0]), !ASCII.isBlank(value[value.count &- 1]) else { return false }
        if value.count >= 8 {
            // Eight at once, the last eight perhaps for the second time: hardly ever does one need a closer look.
            var mayHoldControl = ASCII.mayHoldControl(value.word(at: value.count &- 8))
            var index = 0
            while index &+ 8 < value.count {
                mayHoldControl = mayHoldControl || ASCII.mayHoldControl(value.word(at: index))
                index &+= 8
            }
            guard mayHoldControl else { return true }
        }
        for index in 0..<value.count where !ASCII.isFieldValue(value[index]) { return false }
        return true
    }
}

/// One field as filters see it.
public struct HeaderField {
    /// Set when the name is a known one.
    public let known: HeaderName?
    /// The name as it was spelled.
    public let name: ByteSlice
    /// The value without white space around it.
    public let value: ByteSlice
}

/// A set of known names in 128 bits.
package struct HeaderNameSet: Sendable {
    private var low: UInt64 = 0
    private var high: UInt64 = 0

    package init() {}

    package init(_ names: [HeaderName]) { for name in names { insert(name) } }

    @inline(__always)
    func intersects(_ other: HeaderNameSet) -> Bool { low & other.low | high & other.high != 0 }

    @inline(__always)
    mutating func insert(_ name: HeaderName) { insert(rawValue: name.rawValue) }

    /// Raw value 0, an unknown name, is a member that nobody asks for.
    @inline(__always)
    mutating func insert(rawValue: UInt8) {
        let bit: UInt64 = 1 &<< UInt64(rawValue)
        if rawValue < 64 { low |= bit } else { high |= bit }
    }

    mutating func remove(_ name: HeaderName) {
        let bit: UInt64 = 1 &<< UInt64(name.rawValue)
        if name.rawValue < 64 { low &= ~bit } else { high &= ~bit }
    }

    @inline(__always)
    func contains(_ name: HeaderName) -> Bool {
        (name.rawValue < 64 ? low : high) &>> UInt64(name.rawValue) & 1 != 0
    }
}
