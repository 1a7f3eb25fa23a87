/// A field name from configuration: known or not, checked once, compared without case.
public struct HeaderKey: Hashable, Sendable {
    /// Set when the name is one the proxy knows; lookups are then by integer.
    public let known: HeaderName?
    private let bytes: [UInt8]

    /// - Returns: nil when `text` is not a field name (`token`, RFC 9110 §5.1) or is longer than 256 bytes.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard !bytes.isEmpty, bytes.count <= 256, bytes.allSatisfy(ASCII.isToken) else { return nil }
        self.bytes = bytes
        self.known = ByteSlice.withBytes(of: bytes) { HeaderName($0) }
    }

    public static func == (left: HeaderKey, right: HeaderKey) -> Bool {
        if left.known != nil || right.known != nil { return left.known == right.known }
        return left.bytes.elementsEqual(right.bytes) { ASCII.lowercase($0) == ASCII.lowercase($1) }
    }

    public func hash(into hasher: inout Hasher) {
        for byte in bytes { hasher.combine(ASCII.lowercase(byte)) }
    }

    /// The name as it was configured.
    public var text: String { String(decoding: bytes, as: UTF8.self) }

    var count: Int { bytes.count }

    func withBytes<Result>(_ body: (ByteSlice) -> Result) -> Result {
        ByteSlice.withBytes(of: bytes, body)
    }
}
