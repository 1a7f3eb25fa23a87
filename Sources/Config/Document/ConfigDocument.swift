/// The bounds on a document, so that no file, however made, costs more than a moment and a few hundred megabytes.
public enum ConfigDocumentLimits {
    /// Bytes of a file: about a hundred thousand endpoints with all their keys.
    public static let bytes = 16 << 20
    /// Lists and objects within each other.
    public static let depth = 64
    /// Scalars, lists, objects and keys. What an alias stands for counts each time it is used, which is what stops
    /// a few lines of aliases of aliases from becoming billions of nodes.
    public static let nodes = 1_000_000
}

/// Turns YAML text, and JSON as a subset of it, into nodes.
public enum ConfigDocument {
    /// The root of the only document in `text`; nil when it is not one valid document, after reporting why.
    ///
    /// Duplicate keys, keys that are not text, unknown aliases and tags are reported and reading goes on;
    /// broken syntax and the bounds in ``ConfigDocumentLimits`` end it.
    public static func parse(_ text: String, diagnostics: Diagnostics) -> ConfigNode? {
        var text = text
        if text.unicodeScalars.first == "\u{FEFF}" { text.unicodeScalars.removeFirst() }
        guard text.utf8.count <= ConfigDocumentLimits.bytes else {
            diagnostics.report(
                "the file has \(text.utf8.count) bytes", expected: "at most \(ConfigDocumentLimits.bytes)", at: .start)
            return nil
        }
        return text.withUTF8 { bytes in
            var composer = unsafe NodeComposer(
                events: YAMLEventReader(unsafe: bytes), diagnostics: diagnostics)
            do throws(YAMLSyntaxError) {
                return try composer.document()
            } catch {
                diagnostics.report("invalid YAML: \(error.problem)", expected: error.expected, at: error.position)
                return nil
            }
        }
    }
}

/// Builds the tree from events. Recursion is bounded by `ConfigDocumentLimits.depth`.
private struct NodeComposer: ~Copyable {
    /// A finished node that an alias may stand for.
    private struct Anchored {
        let node: ConfigNode
        let nodeCount: Int
        let height: Int
    }

    private var events: YAMLEventReader
    private let diagnostics: Diagnostics
    private var anchors: [String: Anchored] = [:]
    private var openAnchors: Set<String> = []
    private var nodeCount = 0
    /// The deepest level seen since a caller last looked; gives an anchored node its height.
    private var deepest = 0

    init(events: consuming YAMLEventReader, diagnostics: Diagnostics) {
        self.events = events
        self.diagnostics = diagnostics
    }

    mutating func document() throws(YAMLSyntaxError) -> ConfigNode? {
        guard case .documentStart = try events.next().kind else {
            diagnostics.report("the file is empty", expected: "a configuration", at: .start)
            return nil
        }
        let root = try node(from: try events.next(), depth: 0)
        _ = try events.next()  // the document's end
        let following = try events.next()
        guard case .streamEnd = following.kind else {
            diagnostics.report("a second document starts here", expected: "one document", at: following.position)
            return nil
        }
        guard !root.isNull else {
            diagnostics.report("the file is empty", expected: "a configuration", at: .start)
            return nil
        }
        return root
    }

    private mutating func node(from event: YAMLEvent, depth: Int) throws(YAMLSyntaxError) -> ConfigNode {
        try count(1, at: event.position)
        switch event.kind {
        case .alias(let name):
            return try alias(name, at: event.position, depth: depth)
        case .scalar(let scalar, let properties):
            let isText = accept(tag: properties.tag, of: "str", at: event.position)
            let node = ConfigNode(
                .scalar(ConfigScalar(scalar.text, isQuoted: scalar.isQuoted || isText)), at: event.position,
                extent: event.extent)
            remember(node, as: properties.anchor, nodeCount: 1, height: 0)
            return node
        case .listStart(let properties):
            accept(tag: properties.tag, of: "seq", at: event.position)
            return try collection(event, properties, depth: depth) { composer, depth throws(YAMLSyntaxError) in
                .list(try composer.items(depth: depth))
            }
        case .objectStart(let properties):
            accept(tag: properties.tag, of: "map", at: event.position)
            return try collection(event, properties, depth: depth) { composer, depth throws(YAMLSyntaxError) in
                .object(try composer.entries(depth: depth))
            }
        case .documentStart, .streamEnd, .end:
            preconditionFailure("libyaml's grammar has a node here")
        }
    }

    private mutating func collection(
        _ event: YAMLEvent, _ properties: YAMLProperties, depth: Int,
        _ content: (inout NodeComposer, Int) throws(YAMLSyntaxError) -> ConfigNode.Value
    ) throws(YAMLSyntaxError) -> ConfigNode {
        try checkDepth(depth + 1, at: event.position)
        guard let anchor = properties.anchor else {
            deepest = max(deepest, depth + 1)
            return ConfigNode(try content(&self, depth + 1), at: event.position)
        }
        let countBefore = nodeCount
        let deepestBefore = deepest
        deepest = depth + 1
        openAnchors.insert(anchor)
        let node = ConfigNode(try content(&self, depth + 1), at: event.position)
        openAnchors.remove(anchor)
        remember(node, as: anchor, nodeCount: nodeCount - countBefore + 1, height: deepest - depth)
        deepest = max(deepest, deepestBefore)
        return node
    }

    private mutating func items(depth: Int) throws(YAMLSyntaxError) -> [ConfigNode] {
        var items: [ConfigNode] = []
        while true {
            let event = try events.next()
            if case .end = event.kind { return items }
            items.append(try node(from: event, depth: depth))
        }
    }

    private mutating func entries(depth: Int) throws(YAMLSyntaxError) -> [ConfigEntry] {
        var entries: [ConfigEntry] = []
        var firstPositions: [String: ConfigPosition] = [:]
        while true {
            let keyEvent = try events.next()
            if case .end = keyEvent.kind { return entries }
            let keyNode = try node(from: keyEvent, depth: depth)
            let value = try node(from: try events.next(), depth: depth)
            guard case .scalar(let key) = keyNode.value else {
                diagnostics.report("a key is \(keyNode.described)", expected: "text", at: keyEvent.position)
                continue
            }
            if key.text == "<<", !key.isQuoted {
                diagnostics.report(
                    "merge keys (\"<<\") are not supported", expected: "the keys written out", at: keyEvent.position)
            } else if let first = firstPositions.updateValue(keyEvent.position, forKey: key.text) {
                firstPositions[key.text] = first
                diagnostics.report(
                    "duplicate key \(key.text.quotedForMessage), first written at \(first.line):\(first.column)",
                    expected: "each key once", at: keyEvent.position)
            } else {
                entries.append(ConfigEntry(key: key.text, at: keyEvent.position, value: value))
            }
        }
    }

    private mutating func alias(
        _ name: String, at position: ConfigPosition, depth: Int
    ) throws(YAMLSyntaxError) -> ConfigNode {
        guard let anchored = anchors[name], !openAnchors.contains(name) else {
            let isInside = openAnchors.contains(name)
            diagnostics.report(
                isInside ? "the alias *\(name) stands within its own anchor" : "unknown alias *\(name)",
                expected: "an anchor &\(name) before it", suggestion: nearest(to: name, among: anchors.keys),
                at: position)
            return ConfigNode(.scalar(ConfigScalar("")), at: position)
        }
        try count(anchored.nodeCount - 1, at: position)
        try checkDepth(depth + anchored.height, at: position)
        deepest = max(deepest, depth + anchored.height)
        return anchored.node
    }

    private mutating func remember(_ node: ConfigNode, as anchor: String?, nodeCount: Int, height: Int) {
        guard let anchor else { return }
        anchors[anchor] = Anchored(node: node, nodeCount: nodeCount, height: height)
    }

    private mutating func count(_ nodes: Int, at position: ConfigPosition) throws(YAMLSyntaxError) {
        nodeCount += nodes
        guard nodeCount <= ConfigDocumentLimits.nodes else {
            throw YAMLSyntaxError(
                problem: "more than \(ConfigDocumentLimits.nodes) values, aliases written out", position: position)
        }
    }

    private func checkDepth(_ depth: Int, at position: ConfigPosition) throws(YAMLSyntaxError) {
        guard depth <= ConfigDocumentLimits.depth else { throw .tooDeep(at: position) }
    }

    /// Reports every tag but the one that only repeats what the node is. True when that tag was written.
    @discardableResult
    private func accept(tag: String?, of name: String, at position: ConfigPosition) -> Bool {
        guard let tag else { return false }
        if tag == "!" || tag == "tag:yaml.org,2002:\(name)" { return true }
        diagnostics.report(
            "the tag \(tag.quotedForMessage) is not supported", expected: "a value without a tag", at: position)
        return false
    }
}
