/// The decimal number that a text starts with, exactly, and the unit after it.
struct LeadingNumber {
    /// The number without its decimal point.
    private let digits: UInt64
    private let fractionDigits: Int
    let unit: Substring

    /// Throws without a detail when the text starts with no digit, so also for a sign.
    init(_ text: String) throws(ConfigProblem) {
        let bytes = text.utf8
        var digits: UInt64 = 0
        var fractionDigits = 0
        var pointIndex: String.Index?
        var index = bytes.startIndex
        while index != bytes.endIndex {
            let byte = bytes[index]
            if byte == UInt8(ascii: "."), pointIndex == nil, index != bytes.startIndex {
                pointIndex = index
            } else if let digit = byte.decimalDigit {
                let (tens, overflowTens) = digits.multipliedReportingOverflow(by: 10)
                let (sum, overflowSum) = tens.addingReportingOverflow(UInt64(digit))
                if overflowTens || overflowSum { throw ConfigProblem("which has too many digits") }
                digits = sum
                if pointIndex != nil { fractionDigits += 1 }
            } else {
                break
            }
            bytes.formIndex(after: &index)
        }
        guard index != bytes.startIndex else { throw ConfigProblem() }
        if pointIndex != nil, fractionDigits == 0 { throw ConfigProblem("which has no digits after the point") }
        // Octal in other formats, so it is not clear what was meant.
        let wholeDigits = text[..<(pointIndex ?? index)]
        if wholeDigits.utf8.count > 1, wholeDigits.utf8.first == UInt8(ascii: "0") {
            throw ConfigProblem("which starts with 0")
        }
        self.digits = digits
        self.fractionDigits = fractionDigits
        self.unit = text[index...]
    }

    var isWhole: Bool { fractionDigits == 0 }

    enum Scaled: Equatable {
        case exact(UInt64)
        /// Not a whole number of the smallest unit.
        case tooFine
        case tooLarge
    }

    func scaled(by factor: UInt64) -> Scaled {
        // 64 bits of digits times a factor stay below 10^37 for every unit, so larger divisors would change nothing.
        var divisor: UInt128 = 1
        for _ in 0..<min(fractionDigits, 37) { divisor *= 10 }
        let (quotient, remainder) = (UInt128(digits) * UInt128(factor)).quotientAndRemainder(dividingBy: divisor)
        if remainder != 0 { return .tooFine }
        return UInt64(exactly: quotient).map(Scaled.exact) ?? .tooLarge
    }
}

extension UInt8 {
    var decimalDigit: UInt8? {
        self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9") ? self - UInt8(ascii: "0") : nil
    }

    var hexDigit: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
