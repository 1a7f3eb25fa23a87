internal import HTTP

/// Path prefixes in a compressed trie: one walk along a path meets every prefix of it.
struct PrefixTrie: Sendable {
    private struct Node: Sendable {
        /// What the way here from the parent spells.
        var label: RouteText
        /// Children are neighbours.
        var firstChild: UInt32 = 0
        var childCount: UInt32 = 0
        /// Of the prefix that ends here.
        var routes = RouteList()
    }

    private let nodes: RouteArray<Node>
    /// By node: the first byte of its label, so that a child is found without touching its brothers. The root has none.
    private let firstBytes: RouteText

    /// - Parameter prefixes: all different; the empty one fits every path
    init(_ prefixes: [(prefix: RouteText, routes: RouteList)], in memory: RouteMemory) {
        // By levels rather than by recursion: prefixes within each other may nest as deep as they are long.
        let sorted = prefixes.sorted { $0.prefix.bytes.precedes($1.prefix.bytes) }
        var nodes = [Node(label: memory.store(""))]
        var firstBytes: [UInt8] = [0]
        // Each entry: a node, the prefixes in and below it, and how many bytes lead there.
        var pending = [(node: 0, range: sorted.indices, depth: 0)]
        var done = 0
        while done < pending.count {
            var (node, range, depth) = pending[done]
            done += 1
            if let first = range.first, sorted[first].prefix.bytes.count == depth {
                nodes[node].routes = sorted[first].routes
                range.removeFirst()
            }
            nodes[node].firstChild = UInt32(nodes.count)
            while let first = range.first {
                let start = sorted[first].prefix
                let byte = start.bytes[depth]
                let end = range.first { sorted[$0].prefix.bytes[depth] != byte } ?? range.upperBound
                let common = start.bytes.commonPrefixCount(with: sorted[end - 1].prefix.bytes)
                pending.append((nodes.count, first..<end, common))
                nodes.append(Node(label: start[depth..<common]))
                firstBytes.append(byte)
                nodes[node].childCount += 1
                range = end..<range.upperBound
            }
        }
        self.nodes = memory.store(nodes)
        self.firstBytes = memory.store(bytes: firstBytes)
    }

    /// Calls `body` with the routes of each prefix of `path`, the shortest first.
    @inline(__always)
    func forEachPrefix(of path: ByteSlice, _ body: (RouteList) -> Void) {
        var node = 0
        var offset = 0
        while true {
            if nodes[node].routes.count > 0 { body(nodes[node].routes) }
            let childCount = Int(nodes[node].childCount)
            guard offset < path.count, childCount > 0 else { return }
            let firstChild = Int(nodes[node].firstChild)
            let brothers = firstBytes.bytes[firstChild..<firstChild &+ childCount]
            guard let child = brothers.firstIndex(of: path[offset]) else { return }
            node = firstChild &+ child
            let label = nodes[node].label.bytes
            guard path[offset..<path.count].hasPrefix(label) else { return }
            offset &+= label.count
        }
    }
}

extension ByteSlice {
    /// Order of bytes; a prefix comes before what it is a prefix of.
    fileprivate func precedes(_ other: ByteSlice) -> Bool {
        let common = commonPrefixCount(with: other)
        guard common < count, common < other.count else { return count < other.count }
        return self[common] < other[common]
    }

    fileprivate func commonPrefixCount(with other: ByteSlice) -> Int {
        var index = 0
        while index < count, index < other.count, self[index] == other[index] { index += 1 }
        return index
    }
}
