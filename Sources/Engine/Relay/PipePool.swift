/// Pipes for splicing: opened when first needed, kept for the next direction, bounded.
package struct PipePool {
    package struct Pipe {
        package var read: Int32
        package var write: Int32
        package var capacity: Int
    }

    private var pipes: [Pipe] = []
    private var free: [UInt32] = []
    /// Places in `pipes` whose pipe was closed.
    private var vacant: [UInt32] = []
    private let countMax: Int
    private let pipeBytes: Int

    package init(countMax: Int, pipeBytes: Int) {
        self.countMax = countMax
        self.pipeBytes = pipeBytes
    }

    package var openCount: Int { pipes.count - vacant.count }

    /// Whether `take` may find one: not before the bound, but the system may have none to give.
    var hasRoom: Bool { !free.isEmpty || openCount < countMax }

    /// An empty pipe, or nil when the bound is reached or the system gives none.
    package mutating func take(on backend: IOBackend) -> UInt32? {
        if let index = free.popLast() { return index }
        guard openCount < countMax, let made = backend.openPipe(capacity: pipeBytes) else { return nil }
        let pipe = Pipe(read: made.read, write: made.write, capacity: made.capacity)
        if let index = vacant.popLast() {
            pipes[Int(index)] = pipe
            return index
        }
        pipes.append(pipe)
        return UInt32(pipes.count - 1)
    }

    package subscript(index: UInt32) -> Pipe { pipes[Int(index)] }

    /// - Parameter isEmpty: a pipe with bytes in it belongs to a direction that ended early and is closed.
    package mutating func giveBack(_ index: UInt32, isEmpty: Bool, on backend: IOBackend) {
        if isEmpty {
            free.append(index)
            return
        }
        backend.close(pipes[Int(index)].read)
        backend.close(pipes[Int(index)].write)
        vacant.append(index)
    }
}
