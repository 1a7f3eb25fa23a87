/// A share from `0%` to `100%`, exact to a ten-thousandth of a percent: `1%`, `0.5%`, `0.0001%`.
public struct Percent: Sendable, Hashable, Comparable {
    /// 0 to 1,000,000.
    public let partsPerMillion: UInt32

    /// `partsPerMillion` must be at most 1,000,000.
    public init(partsPerMillion: UInt32) {
        precondition(partsPerMillion <= 1_000_000, "a share is at most the whole")
        self.partsPerMillion = partsPerMillion
    }

    public static func < (left: Percent, right: Percent) -> Bool { left.partsPerMillion < right.partsPerMillion }

    public init(parsing text: String) throws(ConfigProblem) {
        let number = try LeadingNumber(text)
        guard number.unit == "%" else {
            throw ConfigProblem(
                number.unit.isEmpty ? "a number without %" : nil,
                suggestion: number.unit == " %" ? "\(text.dropLast(2))%" : nil)
        }
        switch number.scaled(by: 10_000) {
        case .exact(let partsPerMillion) where partsPerMillion <= 1_000_000:
            self.partsPerMillion = UInt32(partsPerMillion)
        case .exact, .tooLarge:
            throw ConfigProblem("which is more than the whole")
        case .tooFine:
            throw ConfigProblem("which is finer than 0.0001%")
        }
    }
}

extension Percent: CustomStringConvertible {
    /// Reads back as the same value.
    public var description: String {
        let (whole, fraction) = partsPerMillion.quotientAndRemainder(dividingBy: 10_000)
        guard fraction > 0 else { return "\(whole)%" }
        var digits = String(fraction)
        digits = String(repeating: "0", count: 4 - digits.count) + digits
        while digits.last == "0" { digits.removeLast() }
        return "\(whole).\(digits)%"
    }
}
