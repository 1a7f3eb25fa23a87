package import Engine
package import HTTP

// Leases with what the proxy writes itself in HTTP/1.1: heads and the lines between chunks.

extension Worker {
    /// A head. It is written into memory that is enough for nearly all, and once more where it was not.
    package func makeHead(_ write: (inout ByteWriter) -> Void) -> Lease {
        var capacity = 4096
        while true {
            var needed = 0
            let lease = unsafe make(capacity: capacity) { buffer in
                guard let start = buffer.baseAddress else { return 0 }
                var writer = unsafe ByteWriter(start: start, capacity: capacity)
                write(&writer)
                needed = writer.count
                return writer.fits ? needed : 0
            }
            if needed <= capacity { return lease }
            discard(lease)
            capacity = needed
        }
    }

    /// The line before a chunk (RFC 9112 §7.1), and the end of the chunk before it.
    package func makeChunkHead(_ byteCount: Int, isFirst: Bool) -> Lease {
        unsafe make(capacity: ByteWriter.chunkSizeBytesMax + 2) { buffer in
            guard let start = buffer.baseAddress else { return 0 }
            var writer = unsafe ByteWriter(start: start, capacity: buffer.count)
            if !isFirst { writer.appendChunkEnd() }
            writer.appendChunkSize(byteCount)
            return writer.count
        }
    }

    /// The last chunk without trailers, and the end of the chunk before it.
    package func makeLastChunk(afterData: Bool) -> Lease {
        makeHead { writer in
            if afterData { writer.appendChunkEnd() }
            writer.appendLastChunk()
        }
    }

    /// The last chunk with trailers, and the end of the chunk before it.
    package func makeLastChunk(trailers: borrowing HeaderTable, afterData: Bool) -> Lease {
        makeHead { writer in
            if afterData { writer.appendChunkEnd() }
            writer.appendLastChunk(trailers: trailers)
        }
    }
}
