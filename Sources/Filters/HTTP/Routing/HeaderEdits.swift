internal import Config
package import HTTP

/// What a route does to the header fields of a message: first removes, then sets, then adds.
package struct HeaderEdits: Sendable {
    private enum Kind: Sendable { case remove, set, add }

    private struct Edit: Sendable {
        let kind: Kind
        let key: HeaderKey
        let value: RouteText
    }

    private let edits: RouteArray<Edit>

    init(_ configuration: HeaderEditConfiguration, in memory: RouteMemory) {
        let edit = { (kind: Kind, name: String, value: String) -> Edit in
            guard let key = HeaderKey(name) else { preconditionFailure("a configuration has valid header names") }
            return Edit(kind: kind, key: key, value: memory.store(value))
        }
        edits = memory.store(
            configuration.remove.map { edit(.remove, $0, "") }
                + configuration.set.map { edit(.set, $0.name, $0.value) }
                + configuration.add.map { edit(.add, $0.name, $0.value) })
    }

    package var isEmpty: Bool { edits.isEmpty }

    /// - Returns: false when the head has no room for all of it; the fields are changed in part then.
    package func apply(to headers: inout HeaderTable) -> Bool {
        for index in edits.indices {
            switch edits[index].kind {
            case .remove: headers.remove(edits[index].key)
            case .set: guard headers.set(edits[index].key, edits[index].value.bytes) else { return false }
            case .add: guard headers.add(edits[index].key, edits[index].value.bytes) else { return false }
            }
        }
        return true
    }
}
