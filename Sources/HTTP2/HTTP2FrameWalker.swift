internal import HTTP

/// Follows the frames of a connection (RFC 9113 §4.1) without reading what is in them, so that the library is given one
/// frame at a time, and each kind of frame can be counted, those that the library ignores included.
struct HTTP2FrameWalker {
    /// What begins with a chunk of bytes.
    struct Chunk {
        /// Bytes that belong together: at most one frame, or a part of one.
        var length: Int
        /// The head of the frame, when it became complete with this chunk.
        var head: Head?
    }

    struct Head {
        var length: Int
        var type: UInt8
        var flags: UInt8
    }

    private var prefaceLeft: Int
    private var headBytes: InlineArray<9, UInt8> = InlineArray(repeating: 0)
    private var headCount = 0
    private var payloadLeft = 0

    /// - Parameter expectsPreface: the peer is a client, which begins with 24 bytes that are no frame (RFC 9113 §3.4).
    init(expectsPreface: Bool) { prefaceLeft = expectsPreface ? 24 : 0 }

    /// In the middle of a frame.
    var isInFrame: Bool { headCount > 0 || prefaceLeft > 0 }

    /// The first chunk of `bytes`, of which there is at least one.
    mutating func next(_ bytes: ByteSlice) -> Chunk {
        if prefaceLeft > 0 {
            let length = min(prefaceLeft, bytes.count)
            prefaceLeft -= length
            return Chunk(length: length)
        }
        var length = 0
        var head: Head?
        if headCount < 9 {
            while length < bytes.count, headCount < 9 {
                headBytes[headCount] = bytes[length]
                headCount += 1
                length += 1
            }
            guard headCount == 9 else { return Chunk(length: length) }
            payloadLeft = Int(headBytes[0]) << 16 | Int(headBytes[1]) << 8 | Int(headBytes[2])
            head = Head(length: payloadLeft, type: headBytes[3], flags: headBytes[4])
        }
        let payload = min(payloadLeft, bytes.count - length)
        payloadLeft -= payload
        length += payload
        if payloadLeft == 0 { headCount = 0 }
        return Chunk(length: length, head: head)
    }
}
