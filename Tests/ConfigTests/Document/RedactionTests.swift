import Testing

@testable import Config

private let redaction = ConfigRedaction(filterKeys: ["basic_auth": ["users"]])

@Test func secretsAreTakenOutAndTheRestStaysAsItIs() {
    let source = """
        # Who may come in
        filters:
          - basic_auth: { users: ["alice:{SHA}aaa", 'bob:{SHA}bbb'], realm: users }   # two of them
          - other: { users: [visible] }
        hosts:
          - headers: { Authorization: Bearer zzz, x-user: é }
            match: [{ name: cookie, exact: session=1, invert: true }, { name: accept, exact: text }]
        """
    let expected = """
        # Who may come in
        filters:
          - basic_auth: { users: ["[redacted]", "[redacted]"], realm: users }   # two of them
          - other: { users: [visible] }
        hosts:
          - headers: { Authorization: "[redacted]", x-user: é }
            match: [{ name: cookie, exact: "[redacted]", invert: "[redacted]" }, { name: accept, exact: text }]
        """
    #expect(redaction.text(of: source) == expected)
}

@Test func secretsOfEveryStyleAreTakenOut() {
    let source = """
        one:
          basic_auth:
            users:
            - "alice:{SHA}\u{1F512}\\u00e9"
            - |
              secret
              secret
            - >-
              secret
            - &anchor secret
            - *anchor
            - sec
              ret
        last: 1
        """
    let text = redaction.text(of: source)
    #expect(!text.contains("secret") && !text.contains("ret\n") && !text.contains("alice"), "\(text)")
    #expect(text.hasSuffix("\nlast: 1"))
    let json = "{\"basic_auth\":{\"users\":[\"a:b\"]},\"x\":[]}"
    #expect(redaction.text(of: json) == "{\"basic_auth\":{\"users\":[\"[redacted]\"]},\"x\":[]}")
    #expect(redaction.text(of: "\u{FEFF}authorization: x") == "authorization: \"[redacted]\"")
}

@Test func documentsHaveMarksForSecrets() throws {
    let root = try #require(redaction.document(of: "basic_auth: { users: [a, b], realm: r }"))
    let expected = try #require(
        ConfigDocument.parse(
            "basic_auth: { users: [\"[redacted]\", \"[redacted]\"], realm: r }", diagnostics: Diagnostics(file: "")))
    #expect(root == expected)
    #expect(redaction.document(of: "") == nil)
}

@Test func marksAreFoundWhereTheyStand() {
    #expect(ConfigRedaction.position(ofMarkIn: "a: b") == nil)
    #expect(ConfigRedaction.position(ofMarkIn: "a: b # [redacted]") == nil)
    let position = ConfigRedaction.position(ofMarkIn: "a:\r\n  é: \"[redacted]\"\r\n")
    #expect(position == ConfigPosition(line: 2, column: 6))
}
