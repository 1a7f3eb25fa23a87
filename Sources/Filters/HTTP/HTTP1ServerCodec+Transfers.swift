internal import Engine
internal import HTTP
internal import Upstream

/// A large body goes from one side's socket to the other's without passing through here, where nobody wants to see it.
/// Requests begin here; what responses need of this side is asked for.
extension HTTP1ServerCodec {
    /// Asks for a transfer of what is left of the body, if that is worth it.
    func considerTransfer() {
        guard let stream else { return }
        let count = stream.hot.value.decoder.bulkBytes(limits: stream.settings.limits)
        guard count >= worker.transferBytesMin, input.isEmpty, !connection.isTransferring, !hot.value.isConsuming else {
            return
        }
        let mayTransfer = !hot.value.response.isEnded && !hot.value.refusesTransfer && !manager.isDataObserved
        let destination = mayTransfer ? stream.requestDestination(of: count) : nil
        let isPrepared = destination.map { connection.prepareTransfer(to: $0) } ?? false
        hot.value.isTransferable = isPrepared
        // All of this body comes through here, as fast as it can.
        if !isPrepared { connection.expectTransfer(false) }
    }

    /// The socket is quiet. What is left may be less than what the transfer was asked for, and is more than nothing.
    func beginTransfer() {
        guard let stream else { return connection.cancelTransfer() }
        let count = stream.hot.value.decoder.bulkBytes(limits: stream.settings.limits)
        guard hot.value.phase == .body, count > 0, input.isEmpty, isBodyWanted, !hot.value.response.isEnded,
            stream.transferRequestBody(count)
        else {
            hot.value.refusesTransfer = true
            return connection.cancelTransfer()
        }
        connection.transfer(count)
    }

    func transferEnded() {
        accountForTransfer()
        guard hot.value.phase == .body, let stream else { return }
        hot.value.isConsuming = true
        var position = 0
        if !bodyStep(nextStep(.empty, at: &position, of: stream), stream), hot.value.phase == .body,
            stream.hot.value.decoder.bulkBytes(limits: stream.settings.limits) > 0
        {
            hot.value.refusesTransfer = true
        }
        hot.value.isConsuming = false
        settle()
        advance()
    }

    /// Makes known what has gone past the decoder.
    func accountForTransfer() {
        guard hot.value.phase == .body, let stream else { return }
        let count = connection.takeTransferred()
        if count > 0 { stream.hot.value.decoder.skip(count) }
        stream.requestBodyTransferred(count, wasHeldUp: connection.takeTransferHeldUp())
    }

    // MARK: Responses

    /// nil when an earlier filter of the connection wants to see what is sent, and where the framing has no place for
    /// bytes that are not looked at.
    func responseDestination(_ count: UInt64) -> Connection? {
        guard hot.value.response.isStarted, !hot.value.response.isEnded, hot.value.phase != .closing,
            !manager.isWriteObserved
        else { return nil }
        switch hot.value.response.framing {
        case .none: return nil
        case .length, .untilClose: return connection
        // They become one chunk, whose size has to be known.
        case .chunked: return Int(exactly: count) == nil ? nil : connection
        }
    }

    func writeChunkHead(_ count: UInt64) {
        guard hot.value.response.framing == .chunked else { return }
        write(worker.makeChunkHead(Int(count), isFirst: !hot.value.response.chunkOpen))
        hot.value.response.chunkOpen = true
    }
}
