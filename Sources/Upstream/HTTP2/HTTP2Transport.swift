package import Engine
internal import HTTP
package import HTTP2

/// An HTTP/2 session on a worker's connection: bodies as leases, by stream. Both sides of the proxy are made of it.
///
/// What is to be sent is written once a turn, by `flush`: the frames of all streams together, with small bodies copied
/// between them and large ones as they are.
package final class HTTP2Transport {
    package let session: HTTP2Session
    private let worker: Worker
    private let output: HTTP2Output
    /// What waits to be sent, by slot.
    private var queues: [LeaseQueue] = []
    private var queuedBytes = 0
    /// When something of it was last sent, by slot.
    private var sentNs: [UInt64] = []

    /// Bodies up to this size are copied between the frames: an address for the kernel costs more than the copy.
    private static let copiedMax = 4_096
    /// Bytes of bodies written at once: what makes a connection stop its source (`Connection.highWaterBytes`).
    private static let bodyBytesMax = 256 * 1024

    /// - Parameter output: may be shared by all sessions of the worker
    package init(_ session: HTTP2Session, worker: Worker, output: HTTP2Output) {
        self.session = session
        self.worker = worker
        self.output = output
    }

    // MARK: Sending

    /// Queues a piece of our body. Answers whether the source should stop until `drained`.
    package func queue(_ data: consuming Lease, on stream: HTTP2Stream) -> Bool {
        let slot = Int(stream.slot)
        let count = data.count
        guard count > 0, session.queueBody(stream, count) else {
            worker.discard(data)
            return false
        }
        while queues.count <= slot {
            queues.append(LeaseQueue())
            sentNs.append(0)
        }
        guard queues[slot].append(data, on: worker) else {
            session.reset(stream, .internalError)
            return false
        }
        queuedBytes += count
        return session.isAboveHighMark(stream)
    }

    /// When a part of a body was last sent on the stream; 0 for never.
    package func lastSentNs(_ slot: Int) -> UInt64 { slot < sentNs.count ? sentNs[slot] : 0 }

    /// What waits on a stream is not sent any more.
    package func drop(_ stream: HTTP2Stream) {
        let slot = Int(stream.slot)
        guard slot < queues.count else { return }
        sentNs[slot] = 0
        queuedBytes -= queues[slot].bytes
        queues[slot].removeAll(on: worker)
    }

    /// The connection is gone.
    package func dropAll() {
        for slot in queues.indices { queues[slot].removeAll(on: worker) }
        queuedBytes = 0
    }

    /// Forgets the slots of streams that are over. Nothing waits.
    package func rest() {
        guard queuedBytes == 0 else { return }
        queues = []
        sentNs = []
    }

    /// Hands what the session has to say to `write`, in order.
    package func flush(_ write: (consuming Lease) -> Void) {
        guard session.wantsToWrite else { return }
        output.removeAll()
        session.write(to: output, bodyBytesMax: Self.bodyBytesMax)
        var first = 0
        while first < output.pieces.count {
            let (end, size) = run(from: first)
            if size > 0 { write(copy(first..<end, size)) }
            first = end
            guard first < output.pieces.count, case .body(let stream, let count) = output.pieces[first] else {
                continue
            }
            writeBody(stream, count, write)
            first += 1
        }
    }

    /// Makes what waits let go of receive buffers, where others need them: to be called when a turn ends.
    package func settle() {
        guard queuedBytes > 0 else { return }
        for slot in queues.indices { queues[slot].settle(on: worker) }
    }

    /// Pieces from `first` on that are copied together, and their size.
    private func run(from first: Int) -> (end: Int, size: Int) {
        var end = first
        var size = 0
        while end < output.pieces.count {
            switch output.pieces[end] {
            case .bytes(let range): size += range.count
            case .body(_, let count):
                guard count <= Self.copiedMax else { return (end, size) }
                size += count
            }
            end += 1
        }
        return (end, size)
    }

    private func copy(_ pieces: Range<Int>, _ size: Int) -> Lease {
        unsafe worker.make(capacity: size) { buffer in
            guard let start = buffer.baseAddress else { return 0 }
            var writer = unsafe ByteWriter(start: start, capacity: size)
            for index in pieces {
                switch output.pieces[index] {
                case .bytes(let range): writer.append(output.bytes[range])
                case .body(let stream, let count):
                    takeBody(stream, count) { data in
                        data.withBytes { span in ByteSlice.withBytes(of: span) { writer.append($0) } }
                        worker.discard(data)
                    }
                }
            }
            precondition(writer.count == size, "what was measured is what is copied")
            return size
        }
    }

    private func writeBody(_ stream: HTTP2Stream, _ count: Int, _ write: (consuming Lease) -> Void) {
        takeBody(stream, count) { write($0) }
    }

    private func takeBody(_ stream: HTTP2Stream, _ count: Int, _ body: (consuming Lease) -> Void) {
        let slot = Int(stream.slot)
        sentNs[slot] = worker.nowNs
        var left = count
        while left > 0 {
            guard let data = queues[slot].takeFront(max: left, on: worker) else {
                preconditionFailure("the session counts what is queued")
            }
            left -= data.count
            queuedBytes -= data.count
            body(data)
        }
    }
}
