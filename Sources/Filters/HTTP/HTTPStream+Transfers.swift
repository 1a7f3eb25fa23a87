internal import Engine
internal import Upstream

/// Bodies that pass by a stream, from one socket to the other: those that no filter wants to see, that wait nowhere, and
/// whose other side can take them so.
extension HTTPStream {
    func responseBodyDestination(_ count: UInt64) -> Connection? {
        guard hot.value.responseStarted, isUnseen(hot.value.responseFlow, by: .responseBody),
            let codec
        else { return nil }
        return codec.bodyDestination(count, of: self)
    }

    /// Where the next `count` bytes of the request's body may be spliced to; nil when somebody wants to see them.
    func requestDestination(of count: UInt64) -> Connection? {
        guard route.isReady, !requestEnded, isUnseen(hot.value.requestFlow, by: .requestBody) else { return nil }
        return router.requestDestination(self, count)
    }

    /// The next `count` bytes of the request's body go there by themselves. False when they may not any more.
    func transferRequestBody(_ count: UInt64) -> Bool {
        guard requestDestination(of: count) != nil else { return false }
        router.transferRequestBody(self, count)
        return true
    }

    /// So many bytes of the request's body have gone there.
    ///
    /// - Parameter wasHeldUp: the endpoint did not take them as fast as they came
    func requestBodyTransferred(_ count: UInt64, wasHeldUp: Bool) {
        hot.value.info.bytesReceived &+= count
        guard hot.value.bodyClock.isOn else { return }
        // How long the client was not read because of the endpoint nobody has measured: all of it is let go.
        let credited = wasHeldUp ? Self.creditMax : Int(min(count, UInt64(Self.creditMax)))
        hot.value.bodyClock.received(credited, settings.requestBodyLimit, nowNs: worker.nowNs)
    }

    /// More bytes than make up for any time that a client may keep us waiting.
    private static let creditMax = 1 << 33

    private func isUnseen(_ flow: BodyFlow, by interest: HTTPFilter.Interests) -> Bool {
        !hot.value.isEnded && !(hot.value.filters.interests).contains(interest) && flow.resting < 0
            && !flow.isStopped && flow.heldBytes == 0 && flow.held.allSatisfy { $0 == nil }
    }
}

extension RouterFilter {
    /// nil when copies of the request want its body, and when the body is small enough to be kept for another try.
    func requestDestination(_ stream: HTTPStream, _ count: UInt64) -> Connection? {
        guard unsafe stream.route.mirror == nil, !stream.route.offersTunnel, !mayBeKept(stream, count) else {
            return nil
        }
        return unsafe stream.route.upstream?.requestDestination(for: stream)
    }

    func transferRequestBody(_ stream: HTTPStream, _ count: UInt64) {
        stream.route.bodySent = true
        stream.route.keptBody = []
        unsafe stream.route.upstream?.transferRequestBody(count, of: stream)
    }

    private func mayBeKept(_ stream: HTTPStream, _ count: UInt64) -> Bool {
        stream.route.hasRetry && !stream.route.bodySent
            && UInt64(stream.route.keptBody.count) + min(count, UInt64(Self.keptBodyMax)) <= UInt64(Self.keptBodyMax)
    }
}
