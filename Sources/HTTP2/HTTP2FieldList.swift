internal import CNghttp2
internal import HTTP

/// The fields of a header block that is about to be submitted, as the library wants them; kept and used again.
@safe
struct HTTP2FieldList: ~Copyable {
    private var fields: UnsafeMutablePointer<nghttp2_nv>
    private var capacity = 32
    private(set) var count = 0
    private var text: UnsafeMutableRawPointer
    private var textCapacity = 256
    private var textCount = 0

    init() {
        unsafe fields = .allocate(capacity: 32)
        unsafe text = .allocate(byteCount: 256, alignment: 1)
    }

    deinit {
        unsafe fields.deallocate()
        unsafe text.deallocate()
    }

    /// The library copies values, and names that are not constant, which it makes lower case.
    @unsafe var base: UnsafePointer<nghttp2_nv> { unsafe UnsafePointer(fields) }

    /// Begins anew. What `write` writes for this block fits in `textBytes`: nothing moves meanwhile.
    mutating func begin(textBytes: Int) {
        count = 0
        textCount = 0
        guard textBytes > textCapacity else { return }
        unsafe text.deallocate()
        unsafe text = .allocate(byteCount: textBytes, alignment: 1)
        textCapacity = textBytes
    }

    /// The bytes of `field` stay where they are until the block was submitted.
    mutating func append(_ field: HTTP2Field) {
        if count == capacity { grow() }
        var flags = NGHTTP2_NV_FLAG_NONE.rawValue
        if field.isNeverIndexed { flags |= NGHTTP2_NV_FLAG_NO_INDEX.rawValue }
        if field.isNameConstant { flags |= NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue }
        // The library does not write through these.
        let name = unsafe UnsafeMutablePointer(mutating: field.name.baseAddress.assumingMemoryBound(to: UInt8.self))
        let value = unsafe UnsafeMutablePointer(mutating: field.value.baseAddress.assumingMemoryBound(to: UInt8.self))
        unsafe (fields + count).initialize(
            to: nghttp2_nv(
                name: name, value: value, namelen: field.name.count, valuelen: field.value.count,
                flags: UInt8(truncatingIfNeeded: flags)))
        count += 1
    }

    mutating func append(_ name: StaticString, _ value: ByteSlice) { append(HTTP2Field(name, value)) }

    /// Appends a field whose value is written by `write`.
    mutating func append(_ name: StaticString, _ write: (inout ByteWriter) -> Void) {
        var writer = unsafe ByteWriter(start: text + textCount, capacity: textCapacity - textCount)
        write(&writer)
        precondition(writer.fits, "room was asked for")
        let value = unsafe ByteSlice(start: text + textCount, count: writer.count)  // written just now
        textCount += writer.count
        append(name, value)
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<nghttp2_nv>.allocate(capacity: capacity * 2)
        unsafe larger.moveInitialize(from: fields, count: count)
        unsafe fields.deallocate()
        unsafe fields = larger
        capacity *= 2
    }
}

/// Trailers that wait until the body before them has been sent.
struct HTTP2PendingTrailers {
    private var text: [UInt8] = []
    private var fields: [(name: Range<Int>, value: Range<Int>, isNeverIndexed: Bool)] = []

    mutating func take(_ table: borrowing HeaderTable) {
        text.removeAll(keepingCapacity: true)
        fields.removeAll(keepingCapacity: true)
        var all: [HTTP2Field] = []
        table.forEachHTTP2Field { all.append($0) }
        for field in all {
            let name = append(field.name)
            fields.append((name, append(field.value), field.isNeverIndexed))
        }
    }

    var isEmpty: Bool { fields.isEmpty }

    func forEach(_ body: (HTTP2Field) -> Void) {
        ByteSlice.withBytes(of: text) { bytes in
            for field in fields {
                body(HTTP2Field(bytes[field.name], bytes[field.value], isNeverIndexed: field.isNeverIndexed))
            }
        }
    }

    private mutating func append(_ bytes: ByteSlice) -> Range<Int> {
        let start = text.count
        bytes.withSpan { span in unsafe span.withUnsafeBytes { unsafe text.append(contentsOf: $0) } }
        return start..<text.count
    }
}
