/// Finds the known name that some bytes spell: one hash over the last eight bytes and the length, usually one probe,
/// then an exact comparison, sixteen bytes at once.
///
/// Built once from `HeaderName.allCases` and never freed. It is handed around as a value because reading a lazily made
/// global costs a call each time; fetch `shared` once per message.
@safe
struct HeaderNameIndex: @unchecked Sendable {  // written only in `init`, immutable afterwards
    static let shared = HeaderNameIndex()

    /// Names longer than this are never known: with its colon a name fills three parts.
    private static let nameBytesMax = 47
    private static let slotCount = 1024

    /// Sixteen bytes of a name as `ByteVector.spells` wants them.
    private struct Part {
        var name = SIMD16<UInt8>()
        var letters = SIMD16<UInt8>()
        var keeping = SIMD16<UInt8>()
    }

    private static let partsPerName = (nameBytesMax + 1) / 16

    /// Raw value of the name in each slot, 0 for none; collisions sit in the following slots.
    private let slots: UnsafeMutablePointer<UInt8>
    /// By raw value, three for each: the name and a colon, so that a longer or shorter name differs.
    private let parts: UnsafeMutablePointer<Part>

    private init() {
        let names = HeaderName.allCases.count + 1  // raw values start at 1
        unsafe slots = .allocate(capacity: Self.slotCount)
        unsafe slots.initialize(repeating: 0, count: Self.slotCount)
        unsafe parts = .allocate(capacity: names * Self.partsPerName)
        unsafe parts.initialize(repeating: Part(), count: names * Self.partsPerName)

        for name in HeaderName.allCases {
            let text = ByteSlice(name.text)
            precondition(text.count <= Self.nameBytesMax, "known names fit in \(Self.nameBytesMax) bytes")
            for index in 0...text.count {
                let byte = index < text.count ? text[index] : UInt8(ascii: ":")
                let part = Int(name.rawValue) * Self.partsPerName + index / 16
                unsafe parts[part].name[index % 16] = byte
                unsafe parts[part].keeping[index % 16] = 0xFF
                if byte >= UInt8(ascii: "a") { unsafe parts[part].letters[index % 16] = 0x20 }
            }
            var slot = Self.slot(lastBytes: Self.lastBytes(text, length: text.count), length: text.count)
            while unsafe slots[slot] != 0 { slot = (slot + 1) % Self.slotCount }
            unsafe slots[slot] = name.rawValue
        }
    }

    /// Raw value of the known name spelled, in any case, by the bytes from `start` up to the colon at `colon`; 0 for
    /// an unknown name. At least eight bytes stand before the colon.
    @inline(__always)
    func find(in bytes: ByteSlice, from start: Int, to colon: Int) -> UInt8 {
        let length = colon &- start
        guard length > 0, length <= Self.nameBytesMax else { return 0 }
        var last = bytes.word(at: colon &- 8)
        if length < 8 { last &>>= UInt64(truncatingIfNeeded: 64 &- length &* 8) }  // what stands before the name

        var slot = Self.slot(lastBytes: last, length: length)
        while true {
            let candidate = unsafe slots[slot]  // slot < slotCount
            if candidate == 0 || spells(candidate, bytes, from: start, to: colon) { return candidate }
            slot = (slot &+ 1) & (Self.slotCount &- 1)
        }
    }

    /// The known name that the whole of `text`, without a colon, spells in any case.
    func find(_ text: ByteSlice) -> HeaderName? {
        guard !text.isEmpty, text.count <= Self.nameBytesMax else { return nil }
        var slot = Self.slot(lastBytes: Self.lastBytes(text, length: text.count), length: text.count)
        while let candidate = unsafe HeaderName(rawValue: slots[slot]) {  // slot < slotCount
            if text.equalsIgnoringCase(candidate.text) { return candidate }
            slot = (slot &+ 1) & (Self.slotCount &- 1)
        }
        return nil
    }

    @inline(__always)
    private func spells(_ candidate: UInt8, _ bytes: ByteSlice, from start: Int, to colon: Int) -> Bool {
        // candidate is a raw value and colon - start at most nameBytesMax: the parts are read within their bounds.
        var part = unsafe parts + Int(candidate) &* Self.partsPerName
        var offset = start
        while offset <= colon {
            let vector = bytes.vector(at: offset)
            guard unsafe vector.spells(part.pointee.name, letters: part.pointee.letters, keeping: part.pointee.keeping)
            else { return false }
            unsafe part += 1
            offset &+= 16
        }
        return true
    }

    /// The last eight bytes of a name, or all of a shorter one, as `find(in:from:to:)` gathers them.
    private static func lastBytes(_ text: ByteSlice, length: Int) -> UInt64 {
        length < 8 ? text.word(at: 0) : text.word(at: length - 8)
    }

    /// Mixes the length and the last eight bytes; `| 0x20` folds letters. No two of our names share both, and hashing
    /// more would be half of what finding a name costs.
    @inline(__always)
    private static func slot(lastBytes: UInt64, length: Int) -> Int {
        let mixed = ((lastBytes | 0x2020_2020_2020_2020) &+ UInt64(truncatingIfNeeded: length)) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: mixed &>> 54)  // the upper ten bits: slotCount
    }
}
