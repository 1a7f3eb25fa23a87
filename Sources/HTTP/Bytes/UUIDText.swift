/// `xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx` (RFC 9562 §5.4).
package enum UUIDText {
    package static let byteCount = 36

    /// Makes a random UUID of 122 of these bits.
    package static func write(high: UInt64, low: UInt64, to out: inout ByteWriter) {
        let high = high & ~0xF000 | 0x4000
        let low = low & ~(0b11 << 62) | 0b10 << 62
        let first = ByteWriter.hex8(UInt32(truncatingIfNeeded: high &>> 32))
        let second = ByteWriter.hex8(UInt32(truncatingIfNeeded: high))
        let third = ByteWriter.hex8(UInt32(truncatingIfNeeded: low &>> 32))
        let fourth = ByteWriter.hex8(UInt32(truncatingIfNeeded: low))
        out.append(text: first, count: 8)
        out.append(UInt8(ascii: "-"))
        out.append(text: second, count: 4)
        out.append(UInt8(ascii: "-"))
        out.append(text: second &>> 32, count: 4)
        out.append(UInt8(ascii: "-"))
        out.append(text: third, count: 4)
        out.append(UInt8(ascii: "-"))
        out.append(text: third &>> 32, count: 4)
        out.append(text: fourth, count: 8)
    }
}
