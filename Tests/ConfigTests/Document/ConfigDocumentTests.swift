import Testing

@testable import Config

private func parse(_ text: String) -> (root: ConfigNode?, errors: [String]) {
    let diagnostics = Diagnostics(file: "c.yaml")
    let root = ConfigDocument.parse(text, diagnostics: diagnostics)
    return (root, rendered(diagnostics.errors))
}

/// A tree as text, with positions, so that tests read at a glance.
private func outline(_ node: ConfigNode?) -> String {
    guard let node else { return "nil" }
    let place = "\(node.position.line):\(node.position.column)"
    switch node.value {
    case .scalar(let scalar):
        return scalar.isQuoted ? "\(place)'\(scalar.text)'" : "\(place) \(scalar.text)"
    case .list(let items):
        return "\(place)[\(items.map(outline).joined(separator: ", "))]"
    case .object(let entries):
        let pairs = entries.map { "\($0.keyPosition.line):\($0.keyPosition.column) \($0.key) = \(outline($0.value))" }
        return "\(place){\(pairs.joined(separator: ", "))}"
    }
}

@Test func everyNodeAndKeyKnowsItsPlace() {
    let text = """
        # comment
        name: edge
        list:
          - 1
          - "two"
          - { a: b }
        empty:
        """
    #expect(
        outline(parse(text).root)
            == "2:1{2:1 name = 2:7 edge, 3:1 list = 4:3[4:5 1, 5:5'two', 6:5{6:7 a = 6:10 b}], 7:1 empty = 7:7 }")
}

@Test func jsonIsYAML() {
    let text = "{\n\t\"a\":1,\"b\" : [true,null, \"x\\u00e9\\/\"],\n\t\"c\":{}}"
    #expect(
        outline(parse(text).root)
            == "1:1{2:2 a = 2:6 1, 2:8 b = 2:14[2:15 true, 2:20 null, 2:26'xé/'], 3:2 c = 3:6{}}")
    #expect(parse(text).errors.isEmpty)
}

@Test func lineEndsOfWindowsCountOnce() {
    #expect(outline(parse("a: 1\r\nb:\r\n  - x\r\n").root) == "1:1{1:1 a = 1:4 1, 2:1 b = 3:3[3:5 x]}")
}

@Test func aByteOrderMarkIsSkipped() {
    #expect(outline(parse("\u{FEFF}a: 1").root) == "1:1{1:1 a = 1:4 1}")
}

@Test func columnsCountScalarsNotBytes() {
    #expect(outline(parse("ключ: [é, 😀, x]").root) == "1:1{1:1 ключ = 1:7[1:8 é, 1:11 😀, 1:14 x]}")
}

@Test func blocksAndStringTagsAreQuoted() {
    #expect(
        outline(parse("a: |\n  x\n  y\nb: !!str 5\nc: ! 6\nd: >-\n  7\n").root)
            == "1:1{1:1 a = 1:4'x\ny\n', 4:1 b = 4:4'5', 5:1 c = 5:4'6', 6:1 d = 6:4'7'}")
}

@Test func equalNodesMayStandElsewhere() {
    #expect(parse("a: [1, 2]").root == parse("\n\n\na:\n  - 1\n  - 2\n").root)
    #expect(parse("a: 1").root != parse("a: 2").root)
    #expect(parse("a: 1").root != parse("a: '1'").root)
    #expect(parse("a: 1").root != parse("b: 1").root)
}

@Test func onlyUnquotedNothingIsNull() {
    for text in ["", "~", "null", "Null", "NULL"] {
        #expect(ConfigScalar(text).isNull)
        #expect(!ConfigScalar(text, isQuoted: true).isNull)
    }
    #expect(!ConfigScalar("nil").isNull)
}

@Test func aliasesStandForTheirAnchors() {
    let (root, errors) = parse("a: &x { k: 1 }\nb: *x\n")
    #expect(errors.isEmpty)
    #expect(outline(root) == "1:1{1:1 a = 1:4{1:9 k = 1:12 1}, 2:1 b = 1:4{1:9 k = 1:12 1}}")
}

@Test(
    arguments: [
        ("a: *x", ["1:4: unknown alias *x; expected an anchor &x before it"]),
        (
            "a: &limits 1\nb: *limit",
            ["2:4: unknown alias *limit; expected an anchor &limit before it (did you mean \"limits\"?)"]
        ),
        ("a: &x [*x]", ["1:8: the alias *x stands within its own anchor; expected an anchor &x before it"]),
        (
            "a: 1\nb: 2\na: 3\na: 4",
            [
                "3:1: duplicate key \"a\", first written at 1:1; expected each key once",
                "4:1: duplicate key \"a\", first written at 1:1; expected each key once",
            ]
        ),
        (
            "x: {k: 1, k: 2}\ny: {\"k\": 1, k: 2}",
            [
                "1:11: duplicate key \"k\", first written at 1:5; expected each key once",
                "2:13: duplicate key \"k\", first written at 2:5; expected each key once",
            ]
        ),
        (
            "? [a]\n: b\n? {c: d}\n: e",
            ["1:3: a key is a list; expected text", "3:3: a key is an object; expected text"]
        ),
        ("a: &x {b: 1}\nc: {<<: *x}", ["2:5: merge keys (\"<<\") are not supported; expected the keys written out"]),
        ("a: !!int 5", ["1:4: the tag \"tag:yaml.org,2002:int\" is not supported; expected a value without a tag"]),
        ("a: !secret x", ["1:4: the tag \"!secret\" is not supported; expected a value without a tag"]),
        ("a: !pairs [x]", ["1:4: the tag \"!pairs\" is not supported; expected a value without a tag"]),
        ("", ["1:1: the file is empty; expected a configuration"]),
        (" \n# only a comment\n", ["1:1: the file is empty; expected a configuration"]),
        ("---\n", ["1:1: the file is empty; expected a configuration"]),
        ("a: 1\n---\nb: 2\n", ["2:1: a second document starts here; expected one document"]),
        (
            "a: [1, 2",
            [
                "1:9: invalid YAML: did not find expected ',' or ']' while parsing a flow sequence that starts at 1:4; expected YAML or JSON"
            ]
        ),
        ("a: { b: :80 }", ["1:9: invalid YAML: a value within { } or [ ] starts with :; expected it in quotes"]),
        ("a: [x, ::1]", ["1:8: invalid YAML: a value within { } or [ ] starts with :; expected it in quotes"]),
        ("a: [::1]:80", ["1:5: invalid YAML: a value within { } or [ ] starts with :; expected it in quotes"]),
        ("a: 1\n b: 2", ["2:3: invalid YAML: mapping values are not allowed in this context; expected YAML or JSON"]),
        ("a:\n\tb: 1", ["2:1: invalid YAML: a tab cannot indent; expected YAML or JSON"]),
        ("é:\n\tb: 1", ["2:1: invalid YAML: a tab cannot indent; expected YAML or JSON"]),
        (
            "a: 1\nb: \"x",
            [
                "2:6: invalid YAML: found unexpected end of stream while scanning a quoted scalar that starts at 2:4; expected YAML or JSON"
            ]
        ),
        ("a: 1\nb: é\u{1}x", ["2:5: invalid YAML: control characters are not allowed; expected YAML or JSON"]),
        (
            "a: @x",
            [
                "1:4: invalid YAML: found character that cannot start any token while scanning for the next token that starts at 1:4; expected YAML or JSON"
            ]
        ),
    ] as [(String, [String])])
func whatIsWrongWithADocumentHasItsPlace(_ text: String, _ expected: [String]) {
    #expect(parse(text).errors == expected)
}

@Test func errorsBeforeBrokenSyntaxAreKept() {
    #expect(parse("a: 1\na: 2\nb: [").errors.count == 2)
}

@Test(arguments: ["[", "{a: ", "- ", "? "])
func deepNestingIsRefused(_ opening: String) {
    let column = ConfigDocumentLimits.depth * opening.count + 1
    let problem = "invalid YAML: more than 64 lists and objects within each other; expected YAML or JSON"
    for count in [100, 100_000] {
        #expect(parse(String(repeating: opening, count: count)).errors == ["1:\(column): \(problem)"])
    }
}

@Test func theDeepestAllowedDocumentIsRead() {
    let depth = ConfigDocumentLimits.depth
    let text = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    #expect(parse(text).errors.isEmpty)
    #expect(parse("[\(text)]").errors.count == 1)
}

@Test func aliasesCannotNestDeeperThanText() {
    // Each line is one level deeper than the one before.
    var lines = ["- &a0 [x]"]
    for level in 1...ConfigDocumentLimits.depth { lines.append("- &a\(level) [*a\(level - 1)]") }
    #expect(
        parse(lines.joined(separator: "\n")).errors == [
            "64:9: invalid YAML: more than 64 lists and objects within each other; expected YAML or JSON"
        ])
}

@Test func aliasesOfEmptyListsHaveTheirDepthToo() {
    let depth = ConfigDocumentLimits.depth
    let nested = { (count: Int) in String(repeating: "[", count: count) + String(repeating: "]", count: count) }
    #expect(parse("- &a \(nested(depth - 2))\n- [*a]").errors.isEmpty)
    #expect(parse("- &a \(nested(depth - 1))\n- [*a]").errors.count == 1)
}

@Test func aBillionLaughsAreRefused() {
    var lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    for level in 1...12 {
        let alias = "*a\(level - 1)"
        lines.append("a\(level): &a\(level) [\(Array(repeating: alias, count: 10).joined(separator: ", "))]")
    }
    let errors = parse(lines.joined(separator: "\n")).errors
    #expect(errors.count == 1)
    #expect(
        errors.first?.hasSuffix(
            "invalid YAML: more than 1000000 values, aliases written out; expected YAML or JSON") == true)
}

@Test func tooManyNodesAreRefused() {
    let text = "[" + String(repeating: "1,", count: ConfigDocumentLimits.nodes) + "]"
    #expect(
        parse(text).errors == [
            "1:2000000: invalid YAML: more than 1000000 values, aliases written out; expected YAML or JSON"
        ])
}

@Test func tooManyBytesAreRefused() {
    let text = "a: 1 #" + String(repeating: "x", count: ConfigDocumentLimits.bytes)
    #expect(parse(text).errors == ["1:1: the file has 16777222 bytes; expected at most 16777216"])
}
