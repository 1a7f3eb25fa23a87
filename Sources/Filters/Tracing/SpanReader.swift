package import HTTP

/// The records of finished exchanges, as a worker has left them in its ring.
package struct SpanReader {
    private var rest: ByteSlice

    /// - Parameter bytes: whole records, which stay where they are as long as this and what it hands out is used
    package init(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else {
            rest = .empty
            return
        }
        rest = unsafe ByteSlice(start: start, count: bytes.count)
    }

    /// The next record, nil at the end.
    package mutating func next() -> SpanView? {
        guard rest.count >= MemoryLayout<SpanRecord>.stride else { return nil }
        let record = unsafe rest.baseAddress.loadUnaligned(as: SpanRecord.self)  // there are as many bytes
        let count = Int(record.byteCount)
        precondition(count >= MemoryLayout<SpanRecord>.stride && count <= rest.count, "records are written whole")
        defer { rest = rest[count..<rest.count] }
        return SpanView(record: record, bytes: rest[0..<count])
    }
}

/// One finished exchange, read where it lies.
package struct SpanView {
    package let record: SpanRecord
    private let bytes: ByteSlice

    fileprivate init(record: SpanRecord, bytes: ByteSlice) {
        self.record = record
        self.bytes = bytes
    }

    package var tries: [TraceTry] {
        (0..<Int(record.tryCount)).map { index in
            let offset = MemoryLayout<SpanRecord>.stride + index * MemoryLayout<TraceTry>.stride
            precondition(offset + MemoryLayout<TraceTry>.stride <= bytes.count, "a record holds its tries")
            return unsafe bytes.baseAddress.loadUnaligned(fromByteOffset: offset, as: TraceTry.self)
        }
    }

    /// The bytes of a group of texts.
    package subscript(group: SpanTextGroup) -> ByteSlice {
        var start = MemoryLayout<SpanRecord>.stride + Int(record.tryCount) * MemoryLayout<TraceTry>.stride
        for earlier in 0..<group.rawValue { start += Int(record.groupBytes[earlier]) }
        return bytes[start..<(start + Int(record.groupBytes[group.rawValue]))]
    }

    /// Every text of a group in the order it was written.
    package static func forEachText(
        in group: ByteSlice, _ body: (SpanText, _ key: ByteSlice, _ value: ByteSlice) -> Void
    ) {
        var offset = 0
        while offset < group.count {
            guard let kind = SpanText(rawValue: group[offset]) else { preconditionFailure("a known kind of text") }
            let keyCount = Int(group[offset + 1])
            let valueCount = Int(group[offset + 2]) | Int(group[offset + 3]) << 8
            let key = group[(offset + 4)..<(offset + 4 + keyCount)]
            let value = group[(offset + 4 + keyCount)..<(offset + 4 + keyCount + valueCount)]
            body(kind, key, value)
            offset += 4 + keyCount + valueCount
        }
    }
}
