package import HTTP

/// The memory of a compiled route table: filled while the table is compiled, then only read, freed with the table.
///
/// All workers read one table for each request. Arrays and strings would have every one of them count references on
/// the same cache lines; what lies here is reached by plain pointers instead.
final class RouteMemory: @unchecked Sendable {  // written by one thread, before anybody else sees it
    private var releases: [() -> Void] = []

    deinit { for release in releases { release() } }

    /// A copy that lives as long as this memory.
    func store<Element>(_ elements: [Element]) -> RouteArray<Element> {
        guard !elements.isEmpty else { return RouteArray() }
        let base = UnsafeMutableBufferPointer<Element>.allocate(capacity: elements.count)
        _ = unsafe base.initialize(fromContentsOf: elements)
        releases.append {
            unsafe base.deinitialize()
            unsafe base.deallocate()
        }
        return unsafe RouteArray(base: UnsafeBufferPointer(base))
    }

    func store(_ text: String) -> RouteText { store(bytes: Array(text.utf8)) }

    func store(bytes: [UInt8]) -> RouteText { RouteText(store(bytes)) }
}

/// Elements in a `RouteMemory`, and not to be used beyond it.
@safe
struct RouteArray<Element>: @unchecked Sendable where Element: Sendable {  // immutable
    private let base: UnsafePointer<Element>?
    let count: Int

    init() {
        unsafe base = nil
        count = 0
    }

    @unsafe
    fileprivate init(base buffer: UnsafeBufferPointer<Element>) {
        unsafe base = buffer.baseAddress
        count = buffer.count
    }

    var isEmpty: Bool { count == 0 }
    var indices: Range<Int> { 0..<count }

    subscript(index: Int) -> Element {
        @inline(__always) unsafeAddress {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of range")
            guard let base = unsafe base else { preconditionFailure("an empty array has no index") }
            return unsafe base + index  // index < count
        }
    }
}

extension RouteArray where Element == UInt8 {
    fileprivate var slice: ByteSlice {
        guard let base = unsafe base else { return .empty }
        return unsafe ByteSlice(start: UnsafeRawPointer(base), count: count)  // as long as the memory
    }
}

/// Bytes in a `RouteMemory`, and not to be used beyond it.
package struct RouteText: @unchecked Sendable {  // immutable
    package let bytes: ByteSlice

    fileprivate init(_ array: RouteArray<UInt8>) { bytes = array.slice }

    private init(_ bytes: ByteSlice) { self.bytes = bytes }

    subscript(range: Range<Int>) -> RouteText { RouteText(bytes[range]) }
}

/// What the tables of this folder hash bytes with. The keys come from the configuration, so nobody outside can choose
/// colliding ones.
enum RouteHash {
    static func hash(_ bytes: ByteSlice) -> UInt64 {
        bytes.withSpan { span in
            let count = span.byteCount
            var hash = UInt64(truncatingIfNeeded: count)
            var offset = 0
            while offset &+ 8 <= count {
                let word = unsafe span.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self)
                hash = mix(hash ^ word)
                offset &+= 8
            }
            var tail: UInt64 = 0
            while offset < count {
                let byte = unsafe span.unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)
                tail = tail &<< 8 | UInt64(byte)
                offset &+= 1
            }
            return mix(hash ^ tail)
        }
    }

    @inline(__always)
    static func mix(_ word: UInt64) -> UInt64 {
        let product = (word ^ 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low
    }
}
