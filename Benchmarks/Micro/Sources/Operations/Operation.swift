/// Something that a proxy does many times a second.
package struct Operation {
    package let name: String
    /// Makes everything ready, and returns what repeats the operation.
    package let prepare: () -> (_ times: Int) -> Void

    package init(_ name: String, _ prepare: @escaping () -> (_ times: Int) -> Void) {
        self.name = name
        self.prepare = prepare
    }

    package static var all: [Operation] {
        parsing + headers + routing + loadBalancing + engine + requests
    }
}

/// Makes the optimiser believe that somebody looks at `value`.
@inline(never)
func keep(_ value: Int) {
    unsafe sink = unsafe sink &+ value
}

/// Of the only thread that there is.
nonisolated(unsafe) private var sink = 0
