import HTTP
import Testing

@testable import HTTP2

/// What is legal once and abuse in numbers. Each bound has its own reason, and ends the connection.
@Suite struct FloodTests {
    private let start = Frame.preface + Frame.settings

    private func flood(_ frames: [UInt8], times: Int, after: [UInt8] = []) -> Endpoint {
        let server = Endpoint(server: true)
        server.receive(start + after)
        for _ in 0..<times where server.session.failure == nil {
            server.receive(frames)
            _ = server.write()
        }
        return server
    }

    /// Whether it ended for this reason, and says so to the peer.
    private func expect(_ server: Endpoint, _ abuse: HTTP2Abuse) {
        #expect(server.session.failure == .abuse(abuse))
        server.session.terminate(.enhanceYourCalm)
        #expect(Frame.lastCode(server.write(), type: 7) == 11)
        #expect(server.session.isFinished)
    }

    @Test func pings() { expect(flood(Frame.ping, times: 500), .pingFlood) }
    @Test func settings() { expect(flood(Frame.settings, times: 60), .settingsFlood) }
    @Test func priorities() { expect(flood(Frame.priority(1), times: 1_100), .priorityFlood) }
    @Test func unknownFrames() { expect(flood(Frame.raw(0x77), times: 110), .unknownFrameFlood) }

    @Test func windowUpdates() { expect(flood(Frame.windowUpdate(0, 1), times: 2_100), .windowUpdateFlood) }

    @Test func emptyData() {
        let head = Frame.headers(1, Frame.post, end: false)
        expect(flood(Frame.data(1), times: 110, after: head), .emptyDataFlood)
    }

    @Test func paddingCountsAsEmpty() {
        let head = Frame.headers(1, Frame.post, end: false)
        let padded = Frame.raw(0, 8, stream: 1, [3, 0, 0, 0])
        expect(flood(padded, times: 110, after: head), .emptyDataFlood)
    }

    @Test func rapidResets() {
        let server = Endpoint(server: true)
        server.receive(start)
        var stream: UInt32 = 1
        while server.session.failure == nil, stream < 4_000 {
            server.receive(Frame.headers(stream, Frame.get) + Frame.reset(stream))
            _ = server.write()
            stream += 2
        }
        expect(server, .rapidReset)
    }

    @Test func resetsThatThePeerMakesUsSend() {
        let server = Endpoint(server: true)
        server.receive(start)
        var stream: UInt32 = 1
        while server.session.failure == nil, stream < 4_000 {
            // A window that grows beyond its bound is the stream's error, found by us.
            server.receive(Frame.headers(stream, Frame.post, end: false) + Frame.windowUpdate(stream, 0x7FFF_FFFF))
            _ = server.write()
            stream += 2
        }
        expect(server, .rapidReset)
    }

    @Test func malformedRequestsCountAsResets() {
        let server = Endpoint(server: true)
        server.receive(start)
        var stream: UInt32 = 1
        while server.session.failure == nil, stream < 4_000 {
            server.receive(Frame.headers(stream, [("x", "y")]))
            _ = server.write()
            stream += 2
        }
        expect(server, .rapidReset)
    }

    @Test func continuations() {
        let server = Endpoint(server: true)
        server.receive(start + Frame.raw(1, Frame.endStream, stream: 1, Frame.fields(Frame.get)))
        for _ in 0..<40 { server.receive(Frame.raw(9, 0, stream: 1, Frame.fields([("a", "b")]))) }
        expect(server, .continuationFlood)
    }

    @Test func headerBombs() {
        let server = Endpoint(server: true)
        let value = String(repeating: "x", count: 4_000)
        // The field enters the table, and then one byte says it again (RFC 7541 §6.1).
        let entry = [0x40] + Frame.string("a") + Frame.string(value)
        let bomb = Frame.raw(
            1, Frame.endHeaders | Frame.endStream, stream: 1,
            Frame.fields(Frame.get) + entry + Array(repeating: 0xBE, count: 10_000))
        server.receive(start + bomb)
        expect(server, .headerBomb)
    }

    @Test func acknowledgementsThatAreNotRead() {
        let server = Endpoint(server: true)
        server.receive(start)
        for _ in 0..<600 where server.session.failure == nil {
            server.receive(Frame.ping)
            server.nowNs += 10_000_000
        }
        #expect(server.session.failure == .abuse(.acknowledgementFlood))
    }

    @Test func whatComesSlowlyIsNoFlood() {
        let server = Endpoint(server: true)
        server.receive(start)
        for _ in 0..<500 {
            server.receive(Frame.settings)
            _ = server.write()
            server.nowNs += 200_000_000
        }
        #expect(server.session.failure == nil)
    }

    @Test(arguments: [
        Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), Frame.preface + Frame.data(1, "x"),
        Frame.preface + Frame.settings + Frame.data(1, "x"),
        Frame.preface + Frame.settings + Frame.headers(2, Frame.get),
        Frame.preface + Frame.settings + Frame.raw(1, Frame.endHeaders, stream: 1, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        Frame.preface + Frame.settings + Frame.raw(4, stream: 1),
        Frame.preface + Frame.settings + Frame.raw(6, stream: 0, [1, 2, 3]),
        Frame.preface + Frame.settings + Frame.windowUpdate(0, 0),
        Frame.preface + Frame.settings + Frame.raw(9, stream: 1, []),
        Frame.preface + Frame.settings + Frame.raw(1, 0, stream: 1, Frame.fields(Frame.get)) + Frame.ping,
        Frame.preface + [0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 1],
    ])
    func brokenFramesEndTheConnection(bytes: [UInt8]) {
        for pieceBytes in [Int.max, 1] {
            let server = Endpoint(server: true)
            server.receive(bytes, pieceBytes: pieceBytes)
            let written = server.write()
            guard case .protocolError? = server.session.failure else {
                Issue.record("\(String(describing: server.session.failure)) \(Frame.types(written)) \(server.log)")
                return
            }
        }
    }
}
