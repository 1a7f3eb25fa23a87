/// Writes MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), as much of it as is needed here.
struct MessagePack {
    private(set) var bytes: [UInt8] = []

    /// Begins an array of so many elements.
    mutating func array(_ count: Int) { header(count, short: 0x90, long: 0xDD) }
    /// Begins a map of so many pairs.
    mutating func map(_ count: Int) { header(count, short: 0x80, long: 0xDF) }

    /// Bytes that are MessagePack already.
    mutating func append(_ other: MessagePack) { bytes += other.bytes }

    mutating func text(_ text: String) {
        let utf8 = Array(text.utf8)
        if utf8.count < 32 {
            bytes.append(0xA0 | UInt8(utf8.count))
        } else {
            bytes.append(0xDB)
            append(UInt32(utf8.count))
        }
        bytes += utf8
    }

    mutating func number(_ value: UInt64) {
        guard value >= 128 else { return bytes.append(UInt8(value)) }
        bytes.append(0xCF)
        bytes += value.bigEndianBytes
    }

    mutating func number(_ value: Double) {
        bytes.append(0xCB)
        bytes += value.bitPattern.bigEndianBytes
    }

    mutating func field(_ key: String, _ value: String) {
        text(key)
        text(value)
    }

    mutating func field(_ key: String, _ value: UInt64) {
        text(key)
        number(value)
    }

    mutating func field(_ key: String, number value: Double) {
        text(key)
        number(value)
    }

    private mutating func header(_ count: Int, short: UInt8, long: UInt8) {
        guard count >= 16 else { return bytes.append(short | UInt8(count)) }
        bytes.append(long)
        append(UInt32(count))
    }

    private mutating func append(_ value: UInt32) {
        for shift in stride(from: 24, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(shift)))
        }
    }
}
