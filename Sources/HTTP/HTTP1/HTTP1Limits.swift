/// What a peer may send at most, and which old habits are allowed. One per listener or cluster.
public struct HTTP1Limits: Sendable {
    /// Bytes of a head, from the first of the start line to the last of the empty line: 256 B – 16 MiB.
    public var headerBytesMax: Int
    /// Field lines of a head, and of a trailer section: 1 – 65,535.
    public var headersMax: Int
    /// Bytes of a request target: 16 B – 1 MiB.
    public var targetBytesMax: Int
    /// Bytes of a body, after chunked decoding.
    public var bodyBytesMax: UInt64
    /// Bytes of a trailer section: 2 B – 16 MiB.
    public var trailerBytesMax: Int
    /// Bytes of chunk extensions in one body, all chunks together. They carry nothing and would otherwise let a
    /// client make a proxy read without end for a body of a few bytes.
    public var chunkExtensionBytesMax: Int
    /// Whether HTTP/1.0 requests are answered, rather than refused with 426.
    public var acceptsHTTP10: Bool
    /// Whether a target may hold `"<>\^`{|}` unencoded, as some browsers send them in queries.
    public var acceptsUnencodedTargets: Bool

    public init(
        headerBytesMax: Int = 65_536, headersMax: Int = 100, targetBytesMax: Int = 8_192,
        bodyBytesMax: UInt64 = .max, trailerBytesMax: Int = 8_192, chunkExtensionBytesMax: Int = 4_096,
        acceptsHTTP10: Bool = true, acceptsUnencodedTargets: Bool = false
    ) {
        // Offsets into a head are 31 bits wide, and its parts must fit in the whole.
        precondition((256...16_777_216).contains(headerBytesMax), "headerBytesMax out of range")
        precondition((1...65_535).contains(headersMax), "headersMax out of range")
        precondition((16...1_048_576).contains(targetBytesMax), "targetBytesMax out of range")
        precondition((2...16_777_216).contains(trailerBytesMax), "trailerBytesMax out of range")
        precondition(chunkExtensionBytesMax >= 0, "chunkExtensionBytesMax out of range")
        self.headerBytesMax = headerBytesMax
        self.headersMax = headersMax
        self.targetBytesMax = targetBytesMax
        self.bodyBytesMax = bodyBytesMax
        self.trailerBytesMax = trailerBytesMax
        self.chunkExtensionBytesMax = chunkExtensionBytesMax
        self.acceptsHTTP10 = acceptsHTTP10
        self.acceptsUnencodedTargets = acceptsUnencodedTargets
    }
}
