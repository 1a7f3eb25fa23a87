#if arch(x86_64)
    import _Builtin_intrinsics.intel.sse2
#endif

/// Sixteen bytes examined at once; one register on x86-64 and on arm64.
///
/// The questions are those the parsers ask: "which of these bytes matter". An answer has bit `i` set where byte `i`
/// does, the other bits clear.
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
    func equal(to byte: UInt8) -> UInt64 { Self.bits(bytes .== Self.all(byte)) }

    /// Bytes below 0x20 and 0x7F: all that may not stand in a field value, and HTAB, which may.
    @inline(__always)
    var controls: UInt64 { Self.bits((bytes .< Self.all(0x20)) .| (bytes .== Self.all(0x7F))) }

    /// Every byte that a log line cannot hold as it is: controls, quotes, backslashes, and what is not ASCII.
    @inline(__always)
    var logStops: UInt64 {
        let outside = (bytes .< Self.all(0x20)) .| (bytes .>= Self.all(0x7F))
        return Self.bits(
            outside .| (bytes .== Self.all(UInt8(ascii: "\""))) .| (bytes .== Self.all(UInt8(ascii: "\\"))))
    }

    /// Every byte that may not stand in a request target, and two that may: `?`, because it divides the target, and
    /// `~`, because it is rare and sorting it out here would cost every other byte.
    @inline(__always)
    var targetStops: UInt64 {
        let outside = (bytes .< Self.all(0x21)) .| (bytes .>= Self.all(UInt8(ascii: "{")))
        let quoteOrHash = (bytes & Self.all(0xFE)) .== Self.all(0x22)  // " #
        // < > \ ^ and, by the way, two controls, | and ~.
        let angleOrSlash = (bytes & Self.all(0x9D)) .== Self.all(0x1C)
        let backtick = bytes .== Self.all(UInt8(ascii: "`"))
        let questionMark = bytes .== Self.all(UInt8(ascii: "?"))
        return Self.bits(outside .| quoteOrHash .| angleOrSlash .| backtick .| questionMark)
    }

    /// Every byte that is no letter, digit, `.` or `-`, of which nearly all hosts are made.
    @inline(__always)
    var hostStops: UInt64 {
        let letters = ((bytes | Self.all(0x20)) &- Self.all(UInt8(ascii: "a"))) .< Self.all(26)
        let digits = (bytes &- Self.all(UInt8(ascii: "-"))) .< Self.all(13)  // - . / and 0 to 9
        let slash = bytes .== Self.all(UInt8(ascii: "/"))
        return ~Self.bits(letters .| digits) & 0xFFFF | Self.bits(slash)
    }

    /// Whether the bytes are those of `name` where `keeping` is 0xFF, `letters` (0x20 at every letter) ignoring case.
    @inline(__always)
    func spells(_ name: SIMD16<UInt8>, letters: SIMD16<UInt8>, keeping: SIMD16<UInt8>) -> Bool {
        // Folding only where a letter is expected keeps `\r` from passing for `-` and NUL for a space.
        Self.bits(((bytes & keeping) | letters) .== name) == 0xFFFF
    }

    /// Spelled out, because comparing a vector with a scalar runs lane by lane.
    @inline(__always)
    private static func all(_ byte: UInt8) -> SIMD16<UInt8> { SIMD16(repeating: byte) }

    /// One bit a lane. Swift has no word for it: x86-64 has an instruction, elsewhere each half is gathered by a
    /// multiplication that adds its eight distinct bits up in the highest byte.
    @inline(__always)
    private static func bits(_ mask: SIMDMask<SIMD16<Int8>>) -> UInt64 {
        #if arch(x86_64)
            let lanes = unsafe unsafeBitCast(mask, to: __m128i.self)  // same size
            return UInt64(UInt32(bitPattern: _mm_movemask_epi8(lanes)))
        #else
            let weights = SIMD16<UInt8>(1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128)
            let weighed = unsafe unsafeBitCast(mask, to: SIMD16<UInt8>.self) & weights  // every lane 0 or 0xFF
            let halves = unsafe unsafeBitCast(weighed, to: SIMD2<UInt64>.self)
            let ones: UInt64 = 0x0101_0101_0101_0101
            return (halves[0] &* ones) &>> 56 | ((halves[1] &* ones) &>> 56) &<< 8
        #endif
    }
}
