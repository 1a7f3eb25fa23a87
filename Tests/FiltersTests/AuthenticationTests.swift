@testable import Filters
import HTTP
import Testing

private func sha1(_ text: String) -> SHA1Digest { ByteSlice.withBytes(of: text) { SHA1Digest(of: $0) } }

private func decoded(_ text: String) -> [UInt8]? { ByteSlice.withBytes(of: text) { Base64.decode($0) } }

@Suite("Authentication")
struct AuthenticationTests {
    /// FIPS 180-4's examples, and lengths around those at which padding takes another block.
    @Test(arguments: [
        ("", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
        ("abc", "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="),
        ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "hJg+RBw70m66rkqh+VEp5eVGcPE="),
    ]) func digestsOfTheStandard(_ text: String, _ expected: String) throws {
        let bytes = try #require(decoded(expected))
        #expect(sha1(text).isEqual(to: try #require(SHA1Digest(bytes: bytes))))
        #expect(!sha1(text + "x").isEqual(to: sha1(text)))
    }

    @Test func digestsOfEveryLengthDiffer() {
        let texts = (0..<200).map { String(repeating: "a", count: $0) }
        #expect(Set(texts.map { sha1($0).prefix }).count == 200)
    }

    @Test(arguments: [("", ""), ("QQ==", "A"), ("QUI=", "AB"), ("QUJD", "ABC"), ("YTpiOmM=", "a:b:c")])
    func decodesBase64(_ text: String, _ expected: String) { #expect(decoded(text) == Array(expected.utf8)) }

    @Test(arguments: ["Q", "QQ", "QQ=", "QQ===", "=QQ=", "Q=Q=", "QR==", "QUJ=", "QUJD ", "QU-_", "====", "QQ==QQ=="])
    func refusesWhatIsNoBase64(_ text: String) { #expect(decoded(text) == nil) }

    @Test func findsUsersAmongMany() throws {
        var builder = PasswordFile.Builder()
        for number in 0..<300 { try builder.add("user\(number * 7 % 300):{SHA}qZk+NkcGgWq6PiVxeFDCbJzQ2J0=") }
        #expect(throws: PasswordFile.Problem.repeated) { try builder.add("user7:{SHA}qZk+NkcGgWq6PiVxeFDCbJzQ2J0=") }
        #expect(throws: PasswordFile.Problem.unknownDigest) { try builder.add("other:{SHA}qZk+NkcGgWq6PiVx") }
        #expect(throws: PasswordFile.Problem.noName) { try builder.add(":{SHA}qZk+NkcGgWq6PiVxeFDCbJzQ2J0=") }
        let file = builder.build()
        func admits(_ user: String, _ password: String) -> Bool {
            ByteSlice.withBytes(of: user) { user in
                ByteSlice.withBytes(of: password) { file.admits(user, $0) }
            }
        }
        for number in 0..<300 { #expect(admits("user\(number)", "abc")) }
        for user in ["", "user", "user300", "zzz", "user00"] { #expect(!admits(user, "abc")) }
        #expect(!admits("user1", "abd") && !admits("user1", ""))
    }
}

@Suite("CSRF")
struct PageOriginTests {
    private func isSame(_ url: String, _ host: String) -> Bool? {
        ByteSlice.withBytes(of: url) { url in
            ByteSlice.withBytes(of: host) { host in PageOrigin(url)?.isOf(host) }
        }
    }

    @Test(arguments: [
        ("https://a.example", "a.example"), ("https://A.example:443", "a.example"),
        ("https://a.example/x?y#z", "a.example:443"), ("http://a.example:80?x", "a.example"),
        ("http://a.example:8080", "a.example:8080"), ("http://[::1]:80/", "[::1]"),
    ]) func staysOnTheSite(_ url: String, _ host: String) { #expect(isSame(url, host) == true) }

    @Test(arguments: [
        ("https://a.example:80", "a.example"), ("http://a.example", "b.example"), ("http://a.example.b", "a.example"),
        ("http://b/a.example", "a.example"), ("ftp://a.example", "a.example:80"),
    ]) func comesFromElsewhere(_ url: String, _ host: String) { #expect(isSame(url, host) == false) }

    @Test(arguments: ["", "null", "a.example", "://", "http:/a", "http://", "http://user@a.example/", "http://a b"])
    func isNoOrigin(_ url: String) { #expect(isSame(url, "a.example") == nil) }
}
