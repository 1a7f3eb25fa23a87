import Testing

@testable import Config

@Test(arguments: [
    ("0", 0), ("1ns", 1), ("1us", 1000), ("250ms", 250_000_000), ("5s", 5_000_000_000), ("1m", 60_000_000_000),
    ("1h", 3_600_000_000_000), ("2d", 172_800_000_000_000), ("0s", 0), ("1.5s", 1_500_000_000), ("0.25ms", 250_000),
    ("0.000000001s", 1), ("213503d", 18_446_659_200_000_000_000), ("18446744073709551615ns", .max),
    ("0.5000000000000s", 500_000_000),
])
func durationsAreExact(_ text: String, _ nanoseconds: UInt64) throws {
    #expect(try TimeSpan(parsing: text).nanoseconds == nanoseconds)
}

@Test(arguments: [
    ("5", "a number without a unit"), ("00", "which starts with 0"), ("05s", "which starts with 0"),
    ("-5s", nil), ("+5s", nil), ("", nil), ("s", nil), (" 5s", nil), (".5s", nil), ("∞", nil),
    ("5 s", "which has the unknown unit \" s\""), ("5sec", "which has the unknown unit \"sec\""),
    ("1h30m", "which has the unknown unit \"h30m\""), ("1.5.5s", "which has the unknown unit \".5s\""),
    ("5S", "which has the unknown unit \"S\""), ("1.s", "which has no digits after the point"),
    ("0.5ns", "which is finer than a nanosecond"), ("213504d", "which is longer than 584 years"),
    ("18446744073709551616ns", "which has too many digits"), ("0.0", "a number without a unit"),
    ("0.00000000000000000000000000000000000000001s", "which is finer than a nanosecond"),
])
func badDurationsSayWhy(_ text: String, _ detail: String?) {
    #expect(throws: ConfigProblem(detail)) { try TimeSpan(parsing: text) }
}

@Test(arguments: ["0", "1ns", "250ms", "90s", "1m", "25h", "7d", "1500us"])
func durationsReadBackAsWritten(_ text: String) throws {
    let span = try TimeSpan(parsing: text)
    #expect(try TimeSpan(parsing: span.description) == span)
    #expect(span.description == text)
}

@Test(arguments: [
    ("0", 0), ("512", 512), ("512B", 512), ("16KiB", 16384), ("1MiB", 1_048_576), ("3GiB", 3_221_225_472),
    ("1TiB", 1_099_511_627_776), ("9223372036854775807", .max),
])
func sizesAreBytes(_ text: String, _ bytes: Int) throws {
    #expect(try ByteSize(parsing: text).bytes == bytes)
}

@Test(arguments: [
    ("16KB", ConfigProblem("which has the unknown unit \"KB\"", suggestion: "16KiB")),
    ("16k", ConfigProblem("which has the unknown unit \"k\"", suggestion: "16KiB")),
    ("1M", ConfigProblem("which has the unknown unit \"M\"", suggestion: "1MiB")),
    ("1mib", ConfigProblem("which has the unknown unit \"mib\"", suggestion: "1MiB")),
    ("1 MiB", ConfigProblem("which has the unknown unit \" MiB\"")),
    ("1quark", ConfigProblem("which has the unknown unit \"quark\"")),
    ("1.5MiB", ConfigProblem("which is not a whole number")),
    ("-1", ConfigProblem()), ("", ConfigProblem()), ("KiB", ConfigProblem()),
    ("9223372036854775808", ConfigProblem("which is too large")),
    ("16777216TiB", ConfigProblem("which is too large")),
])
func badSizesSayWhy(_ text: String, _ problem: ConfigProblem) {
    #expect(throws: problem) { try ByteSize(parsing: text) }
}

@Test func sizesReadBackAsWritten() throws {
    for text in ["0B", "1B", "1023B", "16KiB", "1MiB", "3GiB", "2TiB"] {
        #expect(try ByteSize(parsing: text).description == text)
    }
}

@Test(arguments: [("0%", 0), ("1%", 10_000), ("0.5%", 5_000), ("100%", 1_000_000), ("0.0001%", 1), ("12.34%", 123_400)])
func sharesAreExact(_ text: String, _ partsPerMillion: UInt32) throws {
    let percent = try Percent(parsing: text)
    #expect(percent.partsPerMillion == partsPerMillion)
    #expect(percent.description == text)
}

@Test(arguments: [
    ("5", ConfigProblem("a number without %")), ("5 %", ConfigProblem(suggestion: "5%")),
    ("101%", ConfigProblem("which is more than the whole")),
    ("100.0001%", ConfigProblem("which is more than the whole")),
    ("0.00001%", ConfigProblem("which is finer than 0.0001%")), ("-1%", ConfigProblem()), ("%", ConfigProblem()),
    ("5%%", ConfigProblem()),
])
func badSharesSayWhy(_ text: String, _ problem: ConfigProblem) {
    #expect(throws: problem) { try Percent(parsing: text) }
}
