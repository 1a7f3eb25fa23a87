import Testing

@testable import Config

@Test func errorsRenderOnOneLine() {
    let error = ConfigError(
        file: "a.yaml", position: ConfigPosition(line: 3, column: 14), problem: "x is wrong", expected: "y",
        suggestion: "a\"b")
    #expect(error.description == "a.yaml:3:14: error: x is wrong; expected y (did you mean \"a\\\"b\"?)")
    #expect("a\nb\u{1B}\u{202E}\u{2028}\\".quotedForMessage == "\"a\\nb\\u{1b}\\u{202e}\\u{2028}\\\\\"")
    #expect(String(repeating: "é", count: 80).quotedForMessage == "\"\(String(repeating: "é", count: 80))\"")
    #expect(String(repeating: "é", count: 81).quotedForMessage == "\"\(String(repeating: "é", count: 80))...\"")
}

@Test func errorsComeInTheOrderOfTheFile() {
    let diagnostics = Diagnostics(file: "c.yaml")
    for (line, column) in [(2, 1), (1, 9), (1, 2), (10, 1)] {
        diagnostics.report("x", expected: "y", at: ConfigPosition(line: line, column: column))
    }
    #expect(diagnostics.errors.map(\.line) == [1, 1, 2, 10])
    #expect(diagnostics.errors.map(\.column) == [2, 9, 1, 1])
}

@Test func theSameErrorThroughTwoAliasesIsOne() {
    let text = """
        listeners:
          - { name: a, address: ":1", network_filters: [x], access: &access { allow: [nobody] } }
          - { name: b, address: ":2", network_filters: [x], access: *access }
        """
    #expect(
        errors(in: text)
            == [
                "2:79: an item of \"allow\" is \"nobody\"; expected a range of addresses such as 10.0.0.0/8 or 2001:db8::/32"
            ])
}

@Test func errorsAreBounded() {
    let diagnostics = Diagnostics(file: "c.yaml")
    for line in 1...1200 { diagnostics.report("x", expected: "y", at: ConfigPosition(line: line, column: 1)) }
    #expect(diagnostics.errors.count == 1001)
    #expect(
        diagnostics.errors.last?.description
            == "c.yaml:1000:1: error: 200 more errors are not shown; expected at most 1000")
}

@Test func suggestionsAreBounded() {
    let diagnostics = Diagnostics(file: "c.yaml")
    for _ in 0..<Diagnostics.suggestionsMax {
        #expect(diagnostics.suggestion(for: "adress", among: ["address"]) == "address")
    }
    #expect(diagnostics.suggestion(for: "adress", among: ["address"]) == nil)
}

@Test(arguments: [
    ("adress", "address"), ("addres", "address"), ("addressx", "address"), ("adderss", "address"),
    ("ADDRESS", "address"),
    ("idle-timeout", "idle_timeout"), ("idletimeout", "idle_timeout"), ("tpc", "tcp"), ("htp", "http"),
    ("address", "address"), ("adrss", nil), ("adrs", nil), ("x", nil), ("", nil), ("listener", nil),
    (String(repeating: "a", count: 65), nil),
])
func nearMissesAreFound(_ word: String, _ expected: String?) {
    #expect(nearest(to: word, among: ["tcp", "http", "address", "idle_timeout", "a"]) == expected)
}

@Test func theNearerOfTwoIsSuggested() {
    #expect(nearest(to: "backend-12", among: ["backend-99", "backend-1", "backend-2", "backend_13"]) == "backend-1")
    #expect(nearest(to: "backend-13", among: ["backend-99", "backend-1", "backend_13"]) == "backend_13")
}

@Test func distanceIsExactWithinItsBound() {
    let cases = [
        ("", "", 0), ("a", "", 1), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3), ("ca", "abc", 3),
    ]
    for (left, right, distance) in cases {
        #expect(editDistance(Array(left.utf8), Array(right.utf8), max: distance) == distance)
        #expect(editDistance(Array(right.utf8), Array(left.utf8), max: distance) == distance)
        if distance > 0 { #expect(editDistance(Array(left.utf8), Array(right.utf8), max: distance - 1) == nil) }
    }
}
