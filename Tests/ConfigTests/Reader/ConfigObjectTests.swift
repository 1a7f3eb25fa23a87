import Testing

@testable import Config

private func object(_ text: String, _ diagnostics: Diagnostics) throws -> ConfigObject {
    let node = try #require(ConfigDocument.parse(text, diagnostics: diagnostics))
    return try #require(ConfigObject(node, kind: "rate_limit", diagnostics: diagnostics))
}

/// What the documentation shows a filter author.
private struct RateLimit: Equatable {
    var rate: Int
    var burst: Int
    var exempt: [CIDR]

    init?(config: ConfigNode, diagnostics: Diagnostics) {
        guard let object = ConfigObject(config, kind: "rate_limit", diagnostics: diagnostics) else { return nil }
        let rate = object.required("requests_per_second", .int(in: 1...1_000_000))
        burst = object.value("burst", .int(in: 1...1_000_000), default: 100)
        exempt = object.value("exempt", .list(of: .cidr), default: [])
        guard object.finish(), let rate else { return nil }
        self.rate = rate
    }
}

@Test func aFilterReadsItsConfigurationInAFewLines() throws {
    let diagnostics = Diagnostics(file: "c.yaml")
    let node = try #require(
        ConfigDocument.parse("requests_per_second: 5\nexempt: [10.0.0.0/8]", diagnostics: diagnostics))
    let filter = try #require(RateLimit(config: node, diagnostics: diagnostics))
    #expect(filter.rate == 5)
    #expect(filter.burst == 100)
    #expect(filter.exempt.map(\.description) == ["10.0.0.0/8"])
    #expect(!diagnostics.hasErrors)
}

@Test func aFilterGetsAllItsErrorsAtOnce() throws {
    let diagnostics = Diagnostics(file: "c.yaml")
    let node = try #require(
        ConfigDocument.parse(
            "burts: 5\nburst: 0\nexempt: [10.0.0.1/8, x, 10.0.0.0/8]", diagnostics: diagnostics))
    #expect(RateLimit(config: node, diagnostics: diagnostics) == nil)
    #expect(
        rendered(diagnostics.errors) == [
            "1:1: missing key \"requests_per_second\" in rate_limit; expected a whole number from 1 to 1000000",
            "1:1: unknown key \"burts\" in rate_limit; expected one of requests_per_second, burst, exempt (did you mean \"burst\"?)",
            "2:8: \"burst\" is \"0\"; expected a whole number from 1 to 1000000",
            "3:10: an item of \"exempt\" is \"10.0.0.1/8\", which has host bits set; expected a range of addresses such as 10.0.0.0/8 or 2001:db8::/32 (did you mean \"10.0.0.0/8\"?)",
            "3:22: an item of \"exempt\" is \"x\"; expected a range of addresses such as 10.0.0.0/8 or 2001:db8::/32",
        ])
}

@Test func aFilterWithAnotherShapeIsRefused() {
    for (text, shown) in [("x", "\"x\""), ("[]", "a list")] {
        let diagnostics = Diagnostics(file: "c.yaml")
        let node = ConfigDocument.parse(text, diagnostics: diagnostics)
        #expect(node.flatMap { ConfigObject($0, kind: "rate_limit", diagnostics: diagnostics) } == nil)
        #expect(rendered(diagnostics.errors) == ["1:1: rate_limit is \(shown); expected an object"])
    }
}

@Test func optionalKeysMayBeMissing() throws {
    let diagnostics = Diagnostics(file: "c.yaml")
    let object = try object("a: 1", diagnostics)
    #expect(object.optional("b", .int(in: 0...9)) == nil)
    #expect(object.value("c", .int(in: 0...9), default: 7) == 7)
    #expect(object.optional("a", .int(in: 0...9)) == 1)
    #expect(object.node("d") == nil)
    #expect(object.finish())
}

@Test func nullIsNeverAValue() throws {
    let diagnostics = Diagnostics(file: "c.yaml")
    let object = try object("a:\nb: ~\nc: null", diagnostics)
    #expect(object.optional("a", .string) == nil)
    #expect(object.value("b", .list(of: .string), default: []) == [])
    #expect(object.value("c", .bool, default: true))
    #expect(!object.finish())
    #expect(
        rendered(diagnostics.errors) == [
            "1:3: \"a\" is empty; expected text",
            "2:4: \"b\" is empty; expected a list, each item text",
            "3:4: \"c\" is empty; expected true or false",
        ])
}

@Test func objectsWithoutKeysExpectNone() throws {
    let diagnostics = Diagnostics(file: "c.yaml")
    #expect(try !object("a: 1", diagnostics).finish())
    #expect(rendered(diagnostics.errors) == ["1:1: unknown key \"a\" in rate_limit; expected no keys"])
}

@Test func freeKeysAreNeverUnknown() throws {
    let diagnostics = Diagnostics(file: "c.yaml")
    let object = try object("x: 1\ny: 2", diagnostics)
    #expect(object.allEntries().map(\.key) == ["x", "y"])
    #expect(object.finish())
}

@Test func finishingTwiceReportsOnce() throws {
    let diagnostics = Diagnostics(file: "c.yaml")
    let object = try object("x: 1", diagnostics)
    #expect(!object.finish())
    #expect(!object.finish())
    #expect(diagnostics.errors.count == 1)
}

@Test func nestedObjectsFinishThemselves() throws {
    let format = ConfigFormat<Int>.object("inner") { $0.required("n", .int(in: 0...9)) }
    #expect(read("{ n: 5 }", as: format).value == 5)
    #expect(read("{ n: 5, m: 6 }", as: format).errors == ["1:12: unknown key \"m\" in inner; expected one of n"])
    #expect(read("[]", as: format).errors == ["1:4: \"k\" is a list; expected an object"])
}

@Test func badItemsHideNoOther() {
    let numbers = read("[1, x, 3]", as: .list(of: .int(in: 0...9)))
    #expect(numbers.value == [1, 3])
    #expect(numbers.errors == ["1:8: an item of \"k\" is \"x\"; expected a whole number from 0 to 9"])
}

@Test func listsMayBeBounded() {
    let format = ConfigFormat<[Int]>.list(of: .int(in: 0...9), count: 1...2)
    #expect(read("[]", as: format).errors == ["1:4: \"k\" has 0 items; expected at least 1"])
    #expect(read("[1, 2]", as: format).errors == [])
    #expect(read("[1, 2, 3]", as: format).errors == ["1:4: \"k\" has 3 items; expected at most 2"])
    #expect(
        read("1", as: format).errors == ["1:4: \"k\" is \"1\"; expected a list, each item a whole number from 0 to 9"])
}

@Test func ownFormatsAreMadeFromText() {
    let even = ConfigFormat<Int>.text("an even number") { text throws(ConfigProblem) in
        guard let number = Int(text) else { throw ConfigProblem() }
        guard number.isMultiple(of: 2) else { throw ConfigProblem("an odd one", suggestion: "\(number + 1)") }
        return number
    }
    #expect(read("4", as: even).value == 4)
    #expect(
        read("5", as: even).errors == ["1:4: \"k\" is \"5\", an odd one; expected an even number (did you mean \"6\"?)"]
    )
}
