/// What a peer says, and what it makes of what it hears: a program that speaks text instead of the pattern.
///
/// Subclasses answer in `heard`.
open class SimulatedDialogue {
    package private(set) var output: [UInt8]
    package private(set) var input: [UInt8] = []

    package init(_ opening: String = "") { output = Array(opening.utf8) }

    /// Something was added to `input`.
    open func heard() {}
    /// The other side has ended its stream.
    open func hearEnd() {}

    package final func say(_ text: String) { output.append(contentsOf: text.utf8) }

    /// Forgets the first `count` bytes of `input`.
    package final func forget(_ count: Int) { input.removeFirst(count) }

    @unsafe
    final func hear(_ bytes: UnsafeRawPointer, _ count: Int) {
        unsafe input.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: count))
        heard()
    }
}
