import Config
import HTTP
import Testing

@testable import Upstream

@Suite("gRPC health checks")
struct GRPCHealthCheckTests {
    private func check(_ service: String = "") -> GRPCHealthCheck {
        GRPCHealthCheck(GRPCHealthCheckConfiguration(service: service), cluster: "c")
    }

    private func answer(_ message: [UInt8]) -> [UInt8] { [0, 0, 0, 0, UInt8(message.count)] + message }

    @Test func asksForAServiceOrTheServer() {
        #expect(check().body == [0, 0, 0, 0, 0])
        #expect(check("ab").body == [0, 0, 0, 0, 4, 0x0A, 2] + Array("ab".utf8))
        let long = String(repeating: "s", count: 300)
        #expect(Array(check(long).body.prefix(8)) == [0, 0, 0, 1, 47, 0x0A, 0xAC, 2])
        let head = check().makeHead()
        #expect(head.path == ByteSlice("/grpc.health.v1.Health/Check") && head.authority == ByteSlice("c"))
    }

    @Test func onlyServingPasses() {
        let check = check()
        #expect(check.result(of: 200, grpcStatus: 0, body: answer([8, 1])) == .passed)
        #expect(check.result(of: 200, grpcStatus: 0, body: answer([8, 2])) == .failed(.notServing(2)))
        #expect(check.result(of: 200, grpcStatus: 0, body: answer([])) == .failed(.notServing(0)))
        #expect(check.result(of: 200, grpcStatus: 5, body: []) == .failed(.grpcStatus(5)))
        #expect(check.result(of: 200, grpcStatus: nil, body: answer([8, 1])) == .failed(.invalidAnswer))
        #expect(check.result(of: 503, grpcStatus: nil, body: []) == .failed(.status(503, isRetriable: false)))
    }

    @Test func fieldsThatNobodyKnowsAreSkipped() {
        let others: [[UInt8]] = [
            [0x10, 0x96, 1], [0x19, 1, 2, 3, 4, 5, 6, 7, 8], [0x22, 3, 8, 2, 0], [0x2D, 1, 2, 3, 4],
        ]
        for other in others {
            #expect(GRPCHealthCheck.servingStatus(inBody: answer(other + [8, 1])) == 1)
            #expect(GRPCHealthCheck.servingStatus(inBody: answer([8, 1] + other)) == 1)
        }
    }

    @Test func whatIsNoAnswerIsInvalid() {
        let whole = answer([0x22, 3, 8, 2, 0, 8, 1])
        for count in 0..<whole.count {
            #expect(GRPCHealthCheck.servingStatus(inBody: Array(whole.prefix(count))) == nil)
        }
        for body in [
            whole + [0], [1] + whole.dropFirst(), answer([8]), answer([0x0B]), answer([0x22, 200, 1]),
            answer([8] + Array(repeating: 0xFF, count: 11)),
        ] {
            #expect(GRPCHealthCheck.servingStatus(inBody: body) == nil)
        }
    }
}
