/// Walks the elements of a comma-separated list (RFC 9110 §5.6.1) without white space; empty elements are skipped.
/// Quoted strings are not understood: for lists of tokens.
public struct ListElements {
    private let list: ByteSlice
    private var offset = 0
    /// Elements returned so far.
    public private(set) var count = 0

    public init(_ list: ByteSlice) { self.list = list }

    /// The next element, nil at the end.
    public mutating func next() -> ByteSlice? {
        while offset < list.count {
            let end = list.firstIndex(of: UInt8(ascii: ","), from: offset) ?? list.count
            let element = list[offset..<end].trimmed
            offset = end + 1
            if !element.isEmpty {
                count += 1
                return element
            }
        }
        return nil
    }
}

extension ByteSlice {
    /// Whether this is a `token` (RFC 9110 §5.6.2): at least one byte, all of them `tchar`.
    public var isToken: Bool {
        for index in 0..<count where !ASCII.isToken(self[index]) { return false }
        return !isEmpty
    }
}
