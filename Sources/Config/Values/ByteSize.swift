/// A number of bytes: `16KiB`, `1MiB`, `512B`, `512`.
public struct ByteSize: Sendable, Hashable, Comparable {
    public let bytes: Int

    /// `bytes` must not be negative.
    public init(bytes: Int) {
        precondition(bytes >= 0, "a size is not negative")
        self.bytes = bytes
    }

    public static func kibibytes(_ count: Int) -> ByteSize { ByteSize(bytes: count << 10) }
    public static func mebibytes(_ count: Int) -> ByteSize { ByteSize(bytes: count << 20) }
    public static func gibibytes(_ count: Int) -> ByteSize { ByteSize(bytes: count << 30) }

    public static func < (left: ByteSize, right: ByteSize) -> Bool { left.bytes < right.bytes }

    /// From the largest, as `description` looks for the first that divides.
    private static let units: [(name: String, bytes: UInt64)] = [
        ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1),
    ]

    /// A whole number with a unit of `B`, `KiB`, `MiB`, `GiB` or `TiB`, or of bytes without one.
    public init(parsing text: String) throws(ConfigProblem) {
        let number = try LeadingNumber(text)
        guard number.isWhole else { throw ConfigProblem("which is not a whole number") }
        let unitName = number.unit.isEmpty ? "B" : number.unit
        guard let unit = Self.units.first(where: { $0.name == unitName }) else {
            // "16KB", "16k" and "16Kib" all mean one thing to their authors.
            let letter = unitName.prefix(1).uppercased()
            let meant = Self.units.first { $0.name.hasPrefix(letter) && unitName.count <= 3 }
            throw ConfigProblem(
                "which has the unknown unit \(String(unitName).quotedForMessage)",
                suggestion: meant.map { "\(text.dropLast(unitName.count))\($0.name)" })
        }
        guard case .exact(let bytes) = number.scaled(by: unit.bytes), let bytes = Int(exactly: bytes) else {
            throw ConfigProblem("which is too large")
        }
        self.bytes = bytes
    }
}

extension ByteSize: CustomStringConvertible {
    /// In the largest unit that leaves a whole number; reads back as the same value.
    public var description: String {
        guard bytes > 0, let unit = Self.units.first(where: { UInt64(bytes).isMultiple(of: $0.bytes) }) else {
            return "0B"
        }
        return "\(UInt64(bytes) / unit.bytes)\(unit.name)"
    }
}
