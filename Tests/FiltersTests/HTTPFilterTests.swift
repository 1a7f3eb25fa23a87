import Engine
import Filters
import HTTP
import Simulation
import Testing

private let millisecond: UInt64 = 1_000_000

/// What filters may do with an exchange, through the real worker, on kernels that cut bytes anywhere.
@Suite("HTTP filters")
struct HTTPFilterTests {
    private let body = String(repeating: "abcdefgh", count: 2000)

    // MARK: Bodies

    @Test func changesBothBodiesAsTheyPass() throws {
        try onEveryKernel { options in
            var options = options
            let filter = ScriptedHTTPFilter([.requestBody, .responseBody])
            filter.requestBody = { stream, data in
                stream.change(&data) { $0 - 32 }
                return .proceed
            }
            filter.responseBody = { stream, data in
                stream.change(&data) { $0 | 0x20 }
                return .proceed
            }
            options.filters = [filter]
            let world = try HTTPWorld(options)
            world.serve { server, request in
                server.say("HTTP/1.1 200 OK\r\nContent-Length: \(request.body.utf8.count)\r\n\r\n\(request.body)")
            }
            let client = world.client(httpRequest("/", method: "POST", body: body))
            world.run(untilAnswers: 1, of: client)
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
            #expect(world.requests.map(\.body) == [body.uppercased()])
            #expect(client.answers.map(\.body) == [body])
            #expect(filter.log == ["request", "request end", "response 200", "response end", "end"])
        }
    }

    @Test(arguments: [false, true]) func addsToBothBodies(chunked: Bool) throws {
        try onEveryKernel { options in
            var options = options
            let filter = ScriptedHTTPFilter([.requestBody, .responseBody])
            filter.requestHeaders = { stream in
                stream.request.forgetBodyLength()
                return .proceed
            }
            filter.requestEnd = { [unowned filter] stream in
                ByteSlice("<in>").withSpan { stream.appendToRequestBody($0, by: filter) }
                return .proceed
            }
            filter.responseHeaders = { _, head in
                head.forgetBodyLength()
                return .proceed
            }
            filter.responseEnd = { [unowned filter] stream in
                ByteSlice("<out>").withSpan { stream.appendToResponseBody($0, by: filter) }
                return .proceed
            }
            options.filters = [ScriptedHTTPFilter(), filter, ScriptedHTTPFilter([.requestBody, .responseBody])]
            let world = try HTTPWorld(options)
            let client = world.client(httpRequest("/", method: "POST", body: body, chunked: chunked))
            world.run(untilAnswers: 1, of: client)
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
            #expect(world.requests.map(\.body) == [body + "<in>"])
            #expect(client.answers[0].body.hasSuffix("<out>") && !client.answers[0].isUnfinished)
        }
    }

    @Test func holdsABodyUntilItsEndAndThenLetsAllOfItGo() throws {
        try onEveryKernel { options in
            var options = options
            let filter = ScriptedHTTPFilter([.requestBody, .responseBody])
            filter.requestHeaders = { _ in .pause }
            filter.requestBody = { _, _ in .hold }
            filter.requestEnd = { stream in
                stream.resumeRequest()
                return .proceed
            }
            filter.responseHeaders = { _, _ in .pause }
            filter.responseBody = { _, _ in .hold }
            filter.responseEnd = { stream in
                stream.changePausedResponse { $0.headers.set(HeaderKey("x-late")!, ByteSlice("1")) }
                stream.resumeResponse()
                return .proceed
            }
            // Neighbours on both sides that want bodies as well.
            options.filters = [
                ScriptedHTTPFilter([.requestBody, .responseBody]), filter,
                ScriptedHTTPFilter([.requestBody, .responseBody]),
            ]
            let world = try HTTPWorld(options)
            world.serve { server, request in server.answerInChunks(request) }
            let requests = (0..<3).map { httpRequest("/\($0)", method: "POST", body: body, chunked: $0 == 1) }
            let client = world.client(requests.joined())
            world.run(untilAnswers: 3, of: client)
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
            #expect(world.requests.map(\.body) == [body, body, body])
            #expect(client.statuses == [200, 200, 200])
            #expect(client.answers.allSatisfy { $0.fields["x-late"] == "1" && !$0.isUnfinished })
        }
    }

    @Test func holdsPiecesAndLetsThemGoTogether() throws {
        try onEveryKernel { options in
            var options = options
            // Lets every third piece go, and with it those before it.
            var pieces = 0
            let filter = ScriptedHTTPFilter([.requestBody, .responseBody])
            filter.requestBody = { _, _ in
                pieces += 1
                return pieces % 3 == 0 ? .proceed : .hold
            }
            filter.responseBody = { _, _ in
                pieces += 1
                return pieces % 3 == 0 ? .proceed : .hold
            }
            options.filters = [filter]
            let world = try HTTPWorld(options)
            world.serve { server, request in
                server.say("HTTP/1.1 200 OK\r\nContent-Length: \(request.body.utf8.count)\r\n\r\n\(request.body)")
            }
            let client = world.client(httpRequest("/", method: "POST", body: body))
            world.run(untilAnswers: 1, of: client)
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
            #expect(world.requests.map(\.body) == [body])
            #expect(client.answers.map(\.body) == [body])
        }
    }

    @Test func pausesInTheMiddleOfBodiesAndGoesOnByTimer() throws {
        try onEveryKernel { options in
            var options = options
            let filter = ScriptedHTTPFilter([.requestBody, .responseBody])
            var isResponse = false
            filter.requestBody = { [unowned filter] stream, _ in
                stream.startTimer(for: filter, afterNs: millisecond)
                return .pause
            }
            filter.responseHeaders = { _, _ in
                isResponse = true
                return .proceed
            }
            filter.responseBody = { [unowned filter] stream, _ in
                stream.startTimer(for: filter, afterNs: millisecond)
                return .pause
            }
            filter.timer = { stream in if isResponse { stream.resumeResponse() } else { stream.resumeRequest() } }
            options.filters = [filter]
            let world = try HTTPWorld(options)
            world.serve { server, request in
                server.say("HTTP/1.1 200 OK\r\nContent-Length: \(request.body.utf8.count)\r\n\r\n\(request.body)")
            }
            let client = world.client(httpRequest("/", method: "POST", body: body))
            world.run(untilAnswers: 1, of: client)
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
            #expect(world.requests.map(\.body) == [body])
            #expect(client.answers.map(\.body) == [body])
        }
    }

    @Test func refusesWhatDoesNotFitTheBuffer() throws {
        try onEveryKernel { options in
            var options = options
            options.http = "limits: { buffer_bytes: 10000 }"
            let filter = ScriptedHTTPFilter([.requestBody])
            filter.requestHeaders = { _ in .pause }
            filter.requestBody = { _, _ in .hold }
            options.filters = [filter]
            let world = try HTTPWorld(options)
            let client = world.client(httpRequest("/", method: "POST", body: body))
            #expect(world.problemsAtEnd() == [])
            // What it still sends may meet a reset before it has read the answer.
            #expect(client.statuses == [413] || client.peer.sawReset)
            #expect(world.requests.isEmpty)
        }
    }

    @Test func seesTrailersBehindBodies() throws {
        let filter = ScriptedHTTPFilter([.trailers])
        filter.requestTrailers = { _, fields in fields.set(HeaderKey("x-t")!, ByteSlice("2")) }
        var options = HTTPWorld.Options()
        options.filters = [filter]
        let world = try HTTPWorld(options)
        world.serve { _, _ in }
        let client = world.client(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n")
        world.simulation.run(forNs: 100 * millisecond)
        client.peer.reset()
        #expect(world.problemsAtEnd() == [])
        #expect(filter.log == ["request", "request trailers", "end"])
        #expect(world.requests.first?.body == "hi")
    }

    // MARK: Pauses

    @Test func aPausedRequestGoesOnByTimer() throws {
        try onEveryKernel { options in
            var options = options
            let filter = ScriptedHTTPFilter()
            filter.requestHeaders = { [unowned filter] stream in
                stream.startTimer(for: filter, afterNs: 5 * millisecond)
                return .pause
            }
            filter.timer = { $0.resumeRequest() }
            filter.responseHeaders = { [unowned filter] stream, _ in
                stream.startTimer(for: filter, afterNs: 5 * millisecond)
                filter.timer = {
                    filter.timer = { $0.resumeRequest() }
                    $0.resumeResponse()
                }
                return .pause
            }
            options.filters = [ScriptedHTTPFilter(), filter, ScriptedHTTPFilter()]
            let world = try HTTPWorld(options)
            let client = world.client(
                httpRequest("/1", method: "POST", body: body) + httpRequest("/2") + httpRequest("/3", method: "HEAD"))
            world.run(untilAnswers: 3, of: client)
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
            #expect(client.statuses == [200, 200, 200])
            #expect(client.answers[1].body == HTTPServer.body(for: world.requests[1]))
            #expect(filter.log.count { $0 == "timer" } == 6)
        }
    }

    @Test func aClientThatLeavesTakesThePausedRequestWithIt() throws {
        try onEveryKernel { options in
            var options = options
            let filter = ScriptedHTTPFilter()
            var tickets: [HTTPStream.Ticket] = []
            filter.requestHeaders = { [unowned filter] stream in
                tickets.append(stream.ticket)
                stream.startTimer(for: filter, afterNs: 1000 * millisecond)
                return .pause
            }
            filter.timer = { $0.resumeRequest() }
            options.filters = [filter]
            let world = try HTTPWorld(options)
            let client = world.client(httpRequest("/"))
            world.simulation.run { tickets.count == 1 }
            #expect(tickets[0].current != nil)
            client.peer.reset()
            #expect(world.problemsAtEnd() == [])
            #expect(tickets[0].current == nil)
            #expect(filter.log == ["request", "end"])
            #expect(world.requests.isEmpty)
        }
    }

    @Test func aPausedResponseThatBreaksOffIsAnAnswerOfTheProxy() throws {
        let filter = ScriptedHTTPFilter()
        filter.responseHeaders = { stream, _ in stream.isLocalResponse ? .proceed : .pause }
        var options = HTTPWorld.Options()
        options.filters = [filter]
        let world = try HTTPWorld(options)
        world.serve { server, _ in server.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", then: .reset) }
        let client = world.client(httpRequest("/"))
        // The upstream is not read while the response is paused, so the reset shows when it is.
        world.simulation.run(forNs: 100 * millisecond)
        client.peer.finish()
        #expect(client.statuses == [] || client.statuses == [502])
        client.peer.reset()
        #expect(world.problemsAtEnd() == [])
    }

    @Test func aFilterAnswersInsteadOfTheEndpoint() throws {
        try onEveryKernel { options in
            var options = options
            let outer = ScriptedHTTPFilter()
            let filter = ScriptedHTTPFilter()
            filter.responseHeaders = { _, _ in .respond(LocalResponse(.badGateway, text: "instead\n"), .none) }
            options.filters = [outer, filter]
            let world = try HTTPWorld(options)
            let client = world.client(httpRequest("/1") + httpRequest("/2"))
            world.run(untilAnswers: 2, of: client)
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
            #expect(client.answers.map(\.body) == ["instead\n", "instead\n"])
            #expect(outer.log == ["request", "response 502", "end", "request", "response 502", "end"])
        }
    }

    // MARK: Sub-requests

    /// Asks the endpoint under `/ask`, in front of the request and of its response.
    private func asking(timeoutNs: UInt64 = 1000 * millisecond) -> ScriptedHTTPFilter {
        let filter = ScriptedHTTPFilter()
        var isResponse = false
        func ask(_ stream: HTTPStream) -> HTTPFilter.Status {
            let question = stream.subrequest(for: filter)
            question.request.setMethod(ByteSlice("POST"))
            question.request.setPath(ByteSlice("/ask"))
            let failure = question.start(
                to: filter.clusters[0], timeoutNs: timeoutNs, body: Array("why?".utf8), mayRepeat: true)
            return failure == nil ? .pause : .respond(LocalResponse(.forbidden), .none)
        }
        filter.requestHeaders = { [unowned filter] stream in
            isResponse = false
            _ = filter
            return ask(stream)
        }
        filter.responseHeaders = { stream, _ in
            if stream.isLocalResponse { return .proceed }
            isResponse = true
            return ask(stream)
        }
        filter.subrequestEnd = { stream, _, outcome in
            guard case .response = outcome else {
                return stream.respond(LocalResponse(.forbidden, text: "no answer\n"))
            }
            if isResponse { stream.resumeResponse() } else { stream.resumeRequest() }
        }
        return filter
    }

    @Test func asksBeforeTheRequestAndBeforeTheResponse() throws {
        try onEveryKernel { options in
            var options = options
            options.filters = [ScriptedHTTPFilter([.requestBody, .responseBody]), asking()]
            let world = try HTTPWorld(options)
            let client = world.client(httpRequest("/1", method: "POST", body: body) + httpRequest("/2"))
            world.run(untilAnswers: 2, of: client)
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
            #expect(client.statuses == [200, 200])
            #expect(world.requests.count { $0.target == "/ask" && $0.body == "why?" } == 4)
            let answered = world.requests.filter { $0.target != "/ask" }
            #expect(client.answers.map(\.body) == answered.map(HTTPServer.body))
        }
    }

    @Test func aQuestionThatIsNotAnsweredEndsInTime() throws {
        try onEveryKernel { options in
            var options = options
            let filter = asking(timeoutNs: 20 * millisecond)
            options.filters = [filter]
            let world = try HTTPWorld(options)
            world.serve { _, _ in }
            let client = world.client(httpRequest("/1") + httpRequest("/2"))
            world.run(untilAnswers: 2, of: client)
            client.peer.finish()
            #expect(world.problemsAtEnd() == [])
            #expect(client.answers.map(\.body) == ["no answer\n", "no answer\n"])
            #expect(
                filter.log == [
                    "request", "failure", "response 403", "end", "request", "failure", "response 403", "end",
                ])
        }
    }

    @Test func aQuestionEndsWithItsExchange() throws {
        try onEveryKernel { options in
            var options = options
            let filter = asking(timeoutNs: 60_000 * millisecond)
            options.filters = [filter]
            let world = try HTTPWorld(options)
            world.serve { _, _ in }
            let client = world.client(httpRequest("/"))
            world.simulation.run { world.requests.count == 1 }
            client.peer.reset()
            #expect(world.problemsAtEnd() == [])
            #expect(filter.log == ["request", "end"])
        }
    }
}
