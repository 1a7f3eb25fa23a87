internal import Engine
internal import HTTP

// Leases with what the proxy writes itself: heads and the lines between chunks.

/// A head. It is written into memory that is enough for nearly all, and once more where it was not.
func makeHead(on worker: Worker, _ write: (inout ByteWriter) -> Void) -> Lease {
    var capacity = 2048
    while true {
        var needed = 0
        let lease = unsafe worker.make(capacity: capacity) { buffer in
            guard let start = buffer.baseAddress else { return 0 }
            var writer = unsafe ByteWriter(start: start, capacity: capacity)
            write(&writer)
            needed = writer.count
            return writer.fits ? needed : 0
        }
        if needed <= capacity { return lease }
        worker.discard(lease)
        capacity = needed
    }
}

/// The line before a chunk (RFC 9112 §7.1), and the end of the chunk before it.
func makeChunkHead(_ byteCount: Int, isFirst: Bool, on worker: Worker) -> Lease {
    unsafe worker.make(capacity: ByteWriter.chunkSizeBytesMax + 2) { buffer in
        guard let start = buffer.baseAddress else { return 0 }
        var writer = unsafe ByteWriter(start: start, capacity: buffer.count)
        if !isFirst { writer.appendChunkEnd() }
        writer.appendChunkSize(byteCount)
        return writer.count
    }
}

/// The last chunk with the trailers, and the end of the chunk before it.
func makeLastChunk(_ trailers: HTTP1TrailerSection?, afterData: Bool, on worker: Worker) -> Lease {
    makeHead(on: worker) { writer in
        if afterData { writer.appendChunkEnd() }
        if let trailers { writer.appendLastChunk(trailers: trailers.fields) } else { writer.appendLastChunk() }
    }
}
