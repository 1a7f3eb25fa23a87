/// TLS work that is put off to the end of the turn.
extension Worker {
    /// How long the steps of handshakes may take in one turn; one is taken in any case. Those who are connected
    /// already wait that long at most, however many want to be.
    static let sessionBudgetNs: UInt64 = 250_000

    /// Memory for sessions, made with the first one.
    var tlsMemory: TLSMemory {
        if let memory = core.value.tlsMemory { return memory }
        let memory = TLSMemory()
        core.value.tlsMemory = memory
        return memory
    }

    /// Steps of handshakes, oldest first.
    func advanceSessions() {
        let deadlineNs = io { $0.nowNs() } + Self.sessionBudgetNs
        while let id = core.value.sessions.popFirst() {
            let connection = Connection(worker: self, index: id.slot)
            if connection.generation == id.generation { connection.advanceSession() }
            if io({ $0.nowNs() }) >= deadlineNs { return }
        }
    }
}
