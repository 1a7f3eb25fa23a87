/// Finds the known name that some bytes spell: one hash over the first and last eight bytes and the length, usually
/// one probe, then an exact comparison by words.
///
/// Built once from `HeaderName.allCases` and never freed. It is handed around as a value because reading a lazily made
/// global costs a call each time; fetch `shared` once per message.
@safe
struct HeaderNameIndex: @unchecked Sendable {  // written only in `init`, immutable afterwards
    static let shared = HeaderNameIndex()

    /// Names longer than this are never known.
    private static let nameBytesMax = 48
    private static let slotCount = 1024

    /// Sixteen bytes of a name as `ByteVector.spells` wants them.
    private struct Part {
        var name = SIMD16<UInt8>()
        var letters = SIMD16<UInt8>()
        var keeping = SIMD16<UInt8>()
    }

    private static let partsPerName = nameBytesMax / 16

    /// Raw value of the name in each slot, 0 for none; collisions sit in the following slots.
    private let slots: UnsafeMutablePointer<UInt8>
    /// By raw value: the length of the name, so that a probe can be dismissed by one comparison.
    private let lengths: UnsafeMutablePointer<UInt8>
    /// By raw value, three for each.
    private let parts: UnsafeMutablePointer<Part>

    private init() {
        let names = HeaderName.allCases.count + 1  // raw values start at 1
        unsafe slots = .allocate(capacity: Self.slotCount)
        unsafe slots.initialize(repeating: 0, count: Self.slotCount)
        unsafe lengths = .allocate(capacity: names)
        unsafe lengths.initialize(repeating: 0, count: names)
        unsafe parts = .allocate(capacity: names * Self.partsPerName)
        unsafe parts.initialize(repeating: Part(), count: names * Self.partsPerName)

        for name in HeaderName.allCases {
            let text = ByteSlice(name.text)
            precondition(text.count <= Self.nameBytesMax, "known names fit in \(Self.nameBytesMax) bytes")
            unsafe lengths[Int(name.rawValue)] = UInt8(text.count)
            for index in 0..<text.count {
                let part = Int(name.rawValue) * Self.partsPerName + index / 16
                unsafe parts[part].name[index % 16] = text[index]
                unsafe parts[part].keeping[index % 16] = 0xFF
                if text[index] >= UInt8(ascii: "a") { unsafe parts[part].letters[index % 16] = 0x20 }
            }
            var slot = Self.slot(of: text, at: 0, length: text.count)
            while unsafe slots[slot] != 0 { slot = (slot + 1) % Self.slotCount }
            unsafe slots[slot] = name.rawValue
        }
    }

    /// The known name spelled, in any case, by the `length` bytes of `bytes` at `start`.
    func find(in bytes: ByteSlice, at start: Int, length: Int) -> HeaderName? {
        HeaderName(rawValue: findRaw(in: bytes, at: start, length: length))
    }

    /// Like `find`, as a raw value with 0 for an unknown name.
    @inline(__always)
    func findRaw(in bytes: ByteSlice, at start: Int, length: Int) -> UInt8 {
        guard length > 0, length <= Self.nameBytesMax else { return 0 }
        var slot = Self.slot(of: bytes, at: start, length: length)
        while true {
            let candidate = unsafe slots[slot]  // slot < slotCount
            if candidate == 0 { return 0 }
            if spells(candidate, bytes, at: start, length: length) { return candidate }
            slot = (slot &+ 1) & (Self.slotCount &- 1)
        }
    }

    @inline(__always)
    private func spells(_ candidate: UInt8, _ bytes: ByteSlice, at start: Int, length: Int) -> Bool {
        // candidate is a raw value and length at most nameBytesMax, so both tables are read within their bounds.
        guard unsafe Int(lengths[Int(candidate)]) == length else { return false }
        var part = unsafe parts + Int(candidate) &* Self.partsPerName
        var offset = 0
        while offset < length {
            let vector = bytes.vector(at: start &+ offset)
            guard unsafe vector.spells(part.pointee.name, letters: part.pointee.letters, keeping: part.pointee.keeping)
            else { return false }
            unsafe part += 1
            offset &+= 16
        }
        return true
    }

    /// Mixes length, first and last eight bytes, or all of a shorter name; `| 0x20` folds letters.
    @inline(__always)
    private static func slot(of bytes: ByteSlice, at start: Int, length: Int) -> Int {
        var first = bytes.word(at: start)
        var last = first
        if length < 8 {
            first &= ~0 &>> UInt64((8 &- length) &* 8)
            last = first
        } else {
            last = bytes.word(at: start &+ length &- 8)
        }
        let fold: UInt64 = 0x2020_2020_2020_2020
        let mixed = ((first | fold) &* 0x9E37_79B9_7F4A_7C15 ^ (last | fold)) &+ UInt64(length)
        return Int(truncatingIfNeeded: (mixed &* 0xD6E8_FEB8_6659_FD93) &>> 54)  // the upper ten bits: slotCount
    }
}
