package import Engine
package import HTTP

/// Answers complete requests: the routes of a configuration, or the admin interface. One per worker and listener.
package protocol HTTPResponder: AnyObject {
    /// Answers through `exchange.respond`, now or later. `head` and `body` are gone when this returns.
    func respond(to head: borrowing RequestHead, body: [UInt8], _ exchange: HTTPExchange)
}

/// One request that waits for its answer.
package struct HTTPExchange {
    let filter: HTTPServerFilter
    let number: UInt64

    /// The connection's worker.
    package var worker: Worker { filter.connection.worker }

    /// Sends the answer. Without effect when the client has gone meanwhile, or a second time.
    package func respond(_ response: LocalResponse) { filter.respond(response, to: number) }

    /// Begins an answer whose body comes part by part from `source`, as fast as the client takes it. The body of
    /// `head` is its first part.
    package func respond(_ head: LocalResponse, then source: any HTTPBodySource) {
        filter.respond(head, then: source, to: number)
    }

    /// The part that the source was asked for.
    package func send(_ part: [UInt8], isLast: Bool) { filter.send(part, isLast: isLast, to: number) }

    /// Ends the connection in the middle of the answer.
    package func abort() { filter.abort(number) }
}

/// Makes a body part by part while it is sent, so that neither side holds all of it. Called on the worker.
package protocol HTTPBodySource: AnyObject {
    /// Makes a part of at most a few times 10 KiB and hands it to `exchange.send`, now or later. Not called again
    /// before that.
    func makePart(for exchange: HTTPExchange)
    /// The client has gone: nothing is asked for any more.
    func cancel()
}
