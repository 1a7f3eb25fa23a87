package import HTTP

/// A piece of what a session has to send.
package enum HTTP2Piece: Equatable, Sendable {
    /// Frames, or the head of a DATA frame: a range of `HTTP2Output.bytes`.
    case bytes(Range<Int>)
    /// So many bytes from the front of what is queued for a stream's body.
    case body(HTTP2Stream, Int)
}

/// What a session has written: frames, with the places where bodies go between them; and where it lists the fields of a
/// block. Kept and used again, by all sessions of a worker in turn, so that none has memory for it of its own. They keep
/// what they are written with, so it outlives them.
@safe
package final class HTTP2Output {
    package private(set) var pieces: [HTTP2Piece] = []
    private var start: UnsafeMutableRawPointer
    private var capacity = 16_384
    private(set) var count = 0
    /// Bytes of bodies between the frames.
    private(set) var bodyBytes = 0

    /// The fields of the block that is about to be submitted, whichever session's it is.
    let list: UnsafeMutablePointer<HTTP2FieldList>
    /// What the library allocates for all of them.
    let memory: UnsafeMutablePointer<HTTP2Memory>

    package init() {
        unsafe start = .allocate(byteCount: 16_384, alignment: 16)
        unsafe list = .allocate(capacity: 1)
        unsafe list.initialize(to: HTTP2FieldList())
        unsafe memory = .allocate(capacity: 1)
        unsafe memory.initialize(to: HTTP2Memory())
    }

    deinit {
        unsafe start.deallocate()
        unsafe list.deinitialize(count: 1)
        unsafe list.deallocate()
        unsafe memory.deinitialize(count: 1)
        unsafe memory.deallocate()
    }

    package var isEmpty: Bool { pieces.isEmpty }

    /// All bytes, bodies aside. Good until the session writes again.
    package var bytes: ByteSlice { unsafe ByteSlice(start: start, count: count) }  // written up to there

    package func removeAll() {
        pieces.removeAll(keepingCapacity: true)
        count = 0
        bodyBytes = 0
    }

    func append(_ source: UnsafePointer<UInt8>, _ length: Int) {
        if count + length > capacity { grow(by: length) }
        unsafe (start + count).copyMemory(from: source, byteCount: length)  // there is room
        if case .bytes(let range) = pieces.last {
            pieces[pieces.count - 1] = .bytes(range.lowerBound..<count + length)
        } else {
            pieces.append(.bytes(count..<count + length))
        }
        count += length
    }

    func append(bodyOf stream: HTTP2Stream, _ length: Int) {
        pieces.append(.body(stream, length))
        bodyBytes += length
    }

    private func grow(by length: Int) {
        let larger = max(capacity * 2, count + length)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
        unsafe memory.copyMemory(from: start, byteCount: count)
        unsafe start.deallocate()
        unsafe start = memory
        capacity = larger
    }
}
