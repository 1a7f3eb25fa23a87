/// Writes into memory that the caller provides, and measures what does not fit.
///
/// Appending past the end writes nothing and keeps counting: look at `fits` once, when everything was appended, and
/// start over with `count` bytes of room when it is false.
@safe
package struct ByteWriter {
    private let start: UnsafeMutableRawPointer
    package let capacity: Int
    /// Bytes appended, whether or not there was room for them.
    package private(set) var count = 0

    /// Writes to the `capacity` bytes at `start`, which the caller keeps allocated and to itself while it writes.
    @unsafe
    package init(start: UnsafeMutableRawPointer, capacity: Int) {
        precondition(capacity >= 0, "a buffer cannot have a negative size")
        unsafe self.start = start
        self.capacity = capacity
    }

    /// Whether everything appended so far was written.
    package var fits: Bool { count <= capacity }

    @inline(__always)
    package mutating func append(_ bytes: ByteSlice) {
        let end = count &+ bytes.count
        // end <= capacity: the copy stays inside the buffer. A source of the same buffer is never handed in.
        if end <= capacity { unsafe bytes.copy(to: start + count) }
        count = end
    }

    @inline(__always)
    package mutating func append(_ text: StaticString) { append(ByteSlice(text)) }

    @inline(__always)
    package mutating func append(_ byte: UInt8) {
        // count < capacity
        if count < capacity { unsafe start.storeBytes(of: byte, toByteOffset: count, as: UInt8.self) }
        count &+= 1
    }

    /// Appends the lowest `byteCount` bytes of `text`, at most eight, the lowest first.
    @inline(__always)
    package mutating func append(text: UInt64, count byteCount: Int) {
        assert(byteCount >= 0 && byteCount <= 8, "a word holds eight bytes")
        if count &+ 8 <= capacity {
            // All eight in one store; what comes next is written over those that are too many.
            unsafe start.storeBytes(of: text.littleEndian, toByteOffset: count, as: UInt64.self)  // there is room
            count &+= byteCount
            return
        }
        var rest = text
        for _ in 0..<byteCount {
            append(UInt8(truncatingIfNeeded: rest))
            rest &>>= 8
        }
    }

    /// Appends a number in decimal.
    package mutating func append(decimal value: UInt64) {
        if value < 100_000_000 { return append(upToEightDigits: UInt32(truncatingIfNeeded: value)) }
        var digits = InlineArray<20, UInt8>(repeating: 0)  // as many as `UInt64.max` has
        var first = digits.count
        var rest = value
        repeat {
            first &-= 1
            digits[first] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest > 0
        for index in first..<digits.count { append(digits[index]) }
    }

    /// The digits are gathered in a register, the first in the lowest byte.
    private mutating func append(upToEightDigits value: UInt32) {
        var digits: UInt64 = 0
        var digitCount = 0
        var rest = value
        repeat {
            let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
            digits = digits &<< 8 | UInt64(UInt8(ascii: "0")) &+ UInt64(digit)
            digitCount &+= 1
            rest = quotient
        } while rest > 0
        append(text: digits, count: digitCount)
    }

    /// Appends a number in upper-case hexadecimal without leading zeros.
    package mutating func append(hex value: UInt64) {
        var shift = value == 0 ? 0 : (63 - value.leadingZeroBitCount) / 4 * 4
        while shift >= 0 {
            append(ASCII.hexDigit(UInt8(truncatingIfNeeded: value >> UInt64(shift)) & 15))
            shift -= 4
        }
    }

    /// Appends a number in sixteen lower-case hexadecimal digits.
    package mutating func append(hex16 value: UInt64) {
        append(text: Self.hex8(UInt32(truncatingIfNeeded: value &>> 32)), count: 8)
        append(text: Self.hex8(UInt32(truncatingIfNeeded: value)), count: 8)
    }

    /// Eight lower-case digits, the first in the lowest byte, for `append(text:count:)`: each half byte in a byte of
    /// its own, then all made digits at once.
    @inline(__always)
    package static func hex8(_ value: UInt32) -> UInt64 {
        var nibbles = UInt64(value.byteSwapped)
        nibbles = (nibbles | nibbles &<< 16) & 0x0000_FFFF_0000_FFFF
        nibbles = (nibbles | nibbles &<< 8) & 0x00FF_00FF_00FF_00FF
        nibbles = (nibbles &>> 4 | nibbles &<< 8) & 0x0F0F_0F0F_0F0F_0F0F
        // 1 where a nibble is ten or more.
        let letters = (nibbles &+ 0x0606_0606_0606_0606) &>> 4 & 0x0101_0101_0101_0101
        return nibbles &+ 0x3030_3030_3030_3030 &+ letters &* 39
    }

    /// Goes back to `length` bytes, at most `count`; what was written behind them is written over.
    mutating func truncate(to length: Int) {
        precondition(length >= 0 && length <= count, "a writer cannot be truncated to more than it holds")
        count = length
    }

    /// The last byte that was written, nil if nothing was.
    var last: UInt8? { byte(at: count - 1) }

    /// Whether exactly these bytes were written.
    func holds(_ bytes: ByteSlice) -> Bool {
        guard count == bytes.count, fits else { return false }
        return unsafe ByteSlice(start: start, count: count) == bytes  // written before
    }

    /// A byte that was written; nil behind the end and where it did not fit.
    func byte(at index: Int) -> UInt8? {
        guard index >= 0, index < count, index < capacity else { return nil }
        return unsafe start.load(fromByteOffset: index, as: UInt8.self)  // written before
    }
}
