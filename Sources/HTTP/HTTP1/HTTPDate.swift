/// IMF-fixdate, the only date format that is generated (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// The text is the same for a whole second: write it once a second and copy it.
package enum HTTPDate {
    /// Bytes of every date of the years 0–9999.
    package static let byteCount = 29

    /// Appends the date `epochSeconds` after 1970-01-01T00:00:00Z, leap seconds not counted.
    package static func write(epochSeconds: Int64, to out: inout ByteWriter) {
        let dayNumber = (epochSeconds >= 0 ? epochSeconds : epochSeconds - 86_399) / 86_400  // rounded down
        let second = epochSeconds - dayNumber * 86_400
        let (year, month, day) = civil(fromDays: dayNumber)
        let weekday = Int(((dayNumber + 4) % 7 + 7) % 7)  // 1970-01-01 was a Thursday

        out.append(weekdays[weekday])
        out.append(", ")
        appendTwoDigits(day, to: &out)
        out.append(UInt8(ascii: " "))
        out.append(months[month - 1])
        out.append(UInt8(ascii: " "))
        appendTwoDigits(year / 100, to: &out)
        appendTwoDigits(year % 100, to: &out)
        out.append(UInt8(ascii: " "))
        appendTwoDigits(Int(second / 3600), to: &out)
        out.append(UInt8(ascii: ":"))
        appendTwoDigits(Int(second / 60 % 60), to: &out)
        out.append(UInt8(ascii: ":"))
        appendTwoDigits(Int(second % 60), to: &out)
        out.append(" GMT")
    }

    private static let weekdays: [StaticString] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months: [StaticString] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    private static func appendTwoDigits(_ value: Int, to out: inout ByteWriter) {
        out.append(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: value / 10))
        out.append(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: value % 10))
    }

    /// The proleptic Gregorian date of a day number. Counts in eras of 400 years that begin on 1 March, so that the
    /// leap day is the last of its year.
    private static func civil(fromDays days: Int64) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468  // days from 0000-03-01 to 1970-01-01
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (Int(year), Int(month), Int(day))
    }
}
