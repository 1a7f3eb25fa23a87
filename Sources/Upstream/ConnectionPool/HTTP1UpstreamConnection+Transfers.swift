internal import Engine
internal import HTTP

/// A large response: its body goes from the endpoint's socket to the client's without passing through here, where nobody
/// wants to see it.
extension HTTP1UpstreamConnection {
    /// Asks for a transfer of what is left of the body, if that is worth it. Called when all that was received of the
    /// body has been handed on.
    @inline(__always)
    func considerTransfer(_ connection: Connection) {
        let count = hot.value.decoder.bulkBytes(limits: pool.limits)
        if count >= connection.worker.transferBytesMin { prepareTransfer(connection, count) }
    }

    private func prepareTransfer(_ connection: Connection, _ count: UInt64) {
        guard hot.value.phase == .body, !connection.isTransferring else { return }
        let destination = hot.value.refusesTransfer ? nil : unsafe request?.responseDestination(of: count)
        let isPrepared = destination.map { connection.prepareTransfer(to: $0) } ?? false
        hot.value.isTransferable = isPrepared
        // All of this body comes through here, as fast as it can.
        if !isPrepared { connection.expectTransfer(false) }
    }

    /// The socket is quiet. What is left may be less than what the transfer was asked for, and is more than nothing.
    func beginTransfer(_ connection: Connection) {
        let count = hot.value.decoder.bulkBytes(limits: pool.limits)
        guard hot.value.phase == .body, count > 0, let request = unsafe request, request.transferResponseBody(count)
        else {
            hot.value.refusesTransfer = true
            return connection.cancelTransfer()
        }
        connection.transfer(count)
    }

    func transferEnded(_ connection: Connection) {
        accountForTransfer()
        guard hot.value.phase == .body else { return }
        var position = 0
        if case .event(.end) = hot.value.decoder.next(.empty, at: &position, limits: pool.limits) {
            responseEnded(connection, hasMore: false)
        } else if hot.value.decoder.bulkBytes(limits: pool.limits) > 0 {
            hot.value.refusesTransfer = true
        }
    }

    /// The rest may have come in buffers while the transfer of it waited for its turn. The next response is likely to be
    /// of this one's kind.
    @inline(__always)
    func bodyEnded(_ connection: Connection) {
        connection.cancelTransfer()
        connection.expectTransfer(hot.value.isTransferable)
    }

    /// Makes known what has gone past the decoder.
    func accountForTransfer() {
        guard hot.value.phase == .body, let count = hot.value.connection?.takeTransferred(), count > 0 else { return }
        hot.value.decoder.skip(count)
        unsafe request?.responseBodyTransferred(count)
    }
}
