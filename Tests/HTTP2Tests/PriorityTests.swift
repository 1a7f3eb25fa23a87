import HTTP
import Testing

@testable import HTTP2

/// RFC 9218: what clients ask to have first.
@Suite struct PriorityTests {
    @Test(arguments: [
        ("u=0", 0, false), ("u=7", 7, false), ("i", 3, true), ("i=?1", 3, true), ("i=?0", 3, false),
        ("u=5, i", 5, true), ("i,u=1", 1, true), (" u=2 ,\ti ", 2, true), ("u=1;a=b;c, i;x", 1, true),
        ("u=1, u=6", 6, false),
        // What is not known, or out of range, is as if it were not there.
        ("u=8", 3, false), ("u=-1", 3, false), ("u=1.5", 3, false), ("u=\"1\"", 3, false), ("u", 3, false),
        ("i=1", 3, false), ("x=y, u=4", 4, false), ("*a-b_c.d=1, i", 3, true),
    ])
    func readsFields(field: String, urgency: UInt8, isIncremental: Bool) throws {
        let priority = try #require(ByteSlice.withBytes(of: field) { HTTP2Priority($0) })
        #expect(priority.urgency == urgency)
        #expect(priority.isIncremental == isIncremental)
    }

    @Test(arguments: ["", " ", ",", "u=1,", "U=1", "=1", "u=", "u=1, =2", "\u{7f}"])
    func ignoresWhatIsNoDictionary(field: String) {
        #expect(ByteSlice.withBytes(of: field) { HTTP2Priority($0) } == nil)
    }

    private let body = String(repeating: "x", count: 40_000)

    /// Answers all streams at once, and tells whose DATA frames leave in which order.
    private func order(_ frames: [UInt8], streams: [UInt32]) -> [UInt32] {
        let server = Endpoint(server: true)
        server.receive(Frame.preface + Frame.settings)
        // More than the test sends.
        server.receive(Frame.windowUpdate(0, 1 << 24))
        server.receive(frames)
        for slot in streams.indices { server.respond(HTTP2Stream(slot: UInt32(slot)), body: body) }
        let bytes = server.write()
        var order: [UInt32] = []
        var index = 0
        while index + 9 <= bytes.count {
            let length = Int(bytes[index]) << 16 | Int(bytes[index + 1]) << 8 | Int(bytes[index + 2])
            if bytes[index + 3] == 0, length > 0 { order.append(UInt32(bytes[index + 8])) }
            index += 9 + length
        }
        return order
    }

    private func get(_ stream: UInt32, _ priority: String? = nil) -> [UInt8] {
        Frame.headers(stream, Frame.get + (priority.map { [("priority", $0)] } ?? []))
    }

    private func update(_ stream: UInt32, _ priority: String) -> [UInt8] {
        Frame.raw(0x10, stream: 0, Frame.bytes(stream) + Array(priority.utf8))
    }

    @Test func theMoreUrgentOneIsSentFirst() {
        #expect(order(get(1, "u=5") + get(3, "u=1"), streams: [1, 3]) == [3, 3, 3, 1, 1, 1])
    }

    @Test func oneAfterTheOtherUnlessTheySayOtherwise() {
        #expect(order(get(1) + get(3), streams: [1, 3]) == [1, 1, 1, 3, 3, 3])
        #expect(order(get(1, "i") + get(3, "i"), streams: [1, 3]) == [1, 3, 1, 3, 1, 3])
    }

    @Test func anUpdateChangesWhatTheRequestSaid() {
        #expect(order(get(1, "u=1") + get(3, "u=5") + update(3, "u=0"), streams: [1, 3]) == [3, 3, 3, 1, 1, 1])
    }

    @Test func anUpdateThatComesBeforeItsRequestCountsMoreThanTheRequest() {
        #expect(order(update(3, "u=0") + get(1, "u=1") + get(3, "u=7"), streams: [1, 3]) == [3, 3, 3, 1, 1, 1])
    }

    @Test func whatNobodyUnderstandsChangesNothing() {
        #expect(order(get(1, "U=9") + get(3) + update(3, "?"), streams: [1, 3]) == [1, 1, 1, 3, 3, 3])
    }

    @Test func dependenciesOfOldAreIgnored() {
        let first = Frame.raw(2, stream: 3, [0x80, 0, 0, 0, 255])
        #expect(order(first + get(1) + get(3), streams: [1, 3]) == [1, 1, 1, 3, 3, 3])
    }
}
