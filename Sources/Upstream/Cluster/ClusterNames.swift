package import HTTP

/// The names of a cluster and of its endpoints, for lines of logs: in memory of their own, so that nothing is counted
/// or copied to read one. As long-lived as the cluster.
@safe
package struct ClusterNames: @unchecked Sendable {  // immutable
    private let names: UnsafeMutablePointer<ByteSlice>
    private let text: UnsafeMutableRawPointer
    private let count: Int

    /// The cluster's first, then those of its endpoints.
    init(_ strings: [String]) {
        count = strings.count
        unsafe names = .allocate(capacity: max(count, 1))
        unsafe text = .allocate(byteCount: max(strings.reduce(0) { $0 + $1.utf8.count }, 1), alignment: 1)
        var used = 0
        for (index, string) in strings.enumerated() {
            let bytes = Array(string.utf8)
            let start = unsafe text + used
            unsafe UnsafeMutableRawBufferPointer(start: start, count: bytes.count).copyBytes(from: bytes)
            unsafe (names + index).initialize(to: ByteSlice(start: start, count: bytes.count))
            used += bytes.count
        }
    }

    func deallocate() {
        unsafe names.deallocate()
        unsafe text.deallocate()
    }

    package var cluster: ByteSlice { unsafe names[0] }

    /// nil for a number that no endpoint has.
    package func endpoint(_ number: Int) -> ByteSlice? {
        guard number >= 0, number < count - 1 else { return nil }
        return unsafe names[number + 1]
    }
}
