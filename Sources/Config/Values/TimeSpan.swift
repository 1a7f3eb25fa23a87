/// A length of time: `250ms`, `1.5s`, `1m`, `0`. (Not named Duration: the standard library's is signed and 128 bits.)
public struct TimeSpan: Sendable, Hashable, Comparable {
    public let nanoseconds: UInt64

    public init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    public static let zero = TimeSpan(nanoseconds: 0)
    public static func milliseconds(_ count: UInt64) -> TimeSpan { TimeSpan(nanoseconds: count * 1_000_000) }
    public static func seconds(_ count: UInt64) -> TimeSpan { TimeSpan(nanoseconds: count * 1_000_000_000) }
    public static func minutes(_ count: UInt64) -> TimeSpan { seconds(count * 60) }
    public static func hours(_ count: UInt64) -> TimeSpan { minutes(count * 60) }
    public static func days(_ count: UInt64) -> TimeSpan { hours(count * 24) }

    public static func < (left: TimeSpan, right: TimeSpan) -> Bool { left.nanoseconds < right.nanoseconds }

    /// From the largest, as `description` looks for the first that divides.
    private static let units: [(name: String, nanoseconds: UInt64)] = [
        ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000),
        ("ms", 1_000_000), ("us", 1_000), ("ns", 1),
    ]

    /// A number with a unit of `ns`, `us`, `ms`, `s`, `m`, `h` or `d`, or `0` alone. Fractions are exact to the nanosecond.
    public init(parsing text: String) throws(ConfigProblem) {
        let number = try LeadingNumber(text)
        if number.unit.isEmpty {
            guard text == "0" else { throw ConfigProblem("a number without a unit") }
            self = .zero
            return
        }
        guard let unit = Self.units.first(where: { $0.name == number.unit }) else {
            throw ConfigProblem("which has the unknown unit \(String(number.unit).quotedForMessage)")
        }
        switch number.scaled(by: unit.nanoseconds) {
        case .exact(let nanoseconds): self.nanoseconds = nanoseconds
        case .tooFine: throw ConfigProblem("which is finer than a nanosecond")
        case .tooLarge: throw ConfigProblem("which is longer than 584 years")
        }
    }
}

extension TimeSpan: CustomStringConvertible {
    /// In the largest unit that leaves a whole number; reads back as the same value.
    public var description: String {
        guard nanoseconds > 0, let unit = Self.units.first(where: { nanoseconds.isMultiple(of: $0.nanoseconds) }) else {
            return "0"
        }
        return "\(nanoseconds / unit.nanoseconds)\(unit.name)"
    }
}
