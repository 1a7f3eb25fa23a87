/// Sixteen bytes examined at once; one register on x86-64 and on arm64.
///
/// The questions are those the parsers ask: "where is the next byte that matters". An answer is a `ByteHits`.
struct ByteVector {
    private let bytes: SIMD16<UInt8>

    @inline(__always)
    init(_ bytes: SIMD16<UInt8>) { self.bytes = bytes }

    /// The bytes of two little-endian words.
    @inline(__always)
    init(low: UInt64, high: UInt64) {
        bytes = unsafe unsafeBitCast(SIMD2(low.littleEndian, high.littleEndian), to: SIMD16<UInt8>.self)  // same size
    }

    /// Bytes equal to `byte`.
    @inline(__always)
    func equal(to byte: UInt8) -> ByteHits { ByteHits(bytes .== Self.all(byte)) }

    /// Bytes below 0x20 and 0x7F: all that may not stand in a field value, and HTAB, which may.
    @inline(__always)
    var controls: ByteHits { ByteHits((bytes .< Self.all(0x20)) .| (bytes .== Self.all(0x7F))) }

    /// Every byte that may not stand in a request target, and two that may: `?`, because it divides the target, and
    /// `~`, because it is rare and sorting it out here would cost every other byte.
    @inline(__always)
    var targetStops: ByteHits {
        let outside = (bytes .< Self.all(0x21)) .| (bytes .>= Self.all(UInt8(ascii: "{")))
        let quoteOrHash = (bytes & Self.all(0xFE)) .== Self.all(0x22)  // " #
        let angleOrSlash = (bytes & Self.all(0x9D)) .== Self.all(0x1C)  // < > \ ^ and the controls, | and ~ alike
        let backtick = bytes .== Self.all(UInt8(ascii: "`"))
        let questionMark = bytes .== Self.all(UInt8(ascii: "?"))
        return ByteHits(outside .| quoteOrHash .| angleOrSlash .| backtick .| questionMark)
    }

    /// Spelled out, because comparing a vector with a scalar runs lane by lane.
    @inline(__always)
    private static func all(_ byte: UInt8) -> SIMD16<UInt8> { SIMD16(repeating: byte) }

    /// Whether the bytes are those of `name` where `keeping` is 0xFF, `letters` (0x20 at every letter) ignoring case.
    @inline(__always)
    func spells(_ name: SIMD16<UInt8>, letters: SIMD16<UInt8>, keeping: SIMD16<UInt8>) -> Bool {
        // Folding only where a letter is expected keeps `\r` from passing for `-` and NUL for a space.
        ByteHits(((bytes & keeping) | letters) .== name).isAll
    }
}

/// Which of sixteen bytes are hits.
///
/// Eight bits a byte in two words, rather than one bit a byte: Swift has no portable way to gather a vector's sign
/// bits, and reading the mask as two words costs as little.
struct ByteHits {
    private let low: UInt64
    private let high: UInt64

    @inline(__always)
    fileprivate init(_ mask: SIMDMask<SIMD16<Int8>>) {
        let words = unsafe unsafeBitCast(mask, to: SIMD2<UInt64>.self)  // same size, every lane 0 or -1
        low = UInt64(littleEndian: words[0])
        high = UInt64(littleEndian: words[1])
    }

    @inline(__always)
    var isEmpty: Bool { low | high == 0 }

    @inline(__always)
    var isAll: Bool { low & high == ~0 }

    /// Whether the byte at `index`, 0–15, is a hit.
    func contains(_ index: Int) -> Bool { (index < 8 ? low : high) >> UInt64(index % 8 * 8) & 1 != 0 }

    /// Index, 0–15, of the first hit, 16 without one.
    @inline(__always)
    var firstIndex: Int {
        low != 0 ? low.trailingZeroBitCount &>> 3 : 8 &+ high.trailingZeroBitCount &>> 3
    }
}
