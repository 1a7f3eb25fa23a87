internal import CIOUring
internal import Glibc
internal import Synchronization

/// How other threads reach a worker: messages that it runs on its own thread, between two completions.
///
/// The lock is taken by senders, and by the worker only after a message woke it: never on the data path.
package final class Mailbox: Sendable {
    package typealias Message = @Sendable (Worker) -> Void

    private let messages = Mutex<[Message]>([])
    let descriptor: Int32

    package init() throws(SystemLack) {
        descriptor = rw_eventfd()
        guard descriptor >= 0 else {
            throw SystemLack("no descriptor for a mailbox: \(describe(-descriptor))", remedy: "raise `ulimit -n`")
        }
    }

    deinit { _ = Glibc.close(descriptor) }

    package func send(_ message: @escaping Message) {
        messages.withLock { $0.append(message) }
        ring()
    }

    /// Wakes the worker although there is no message.
    func ring() {
        var one: UInt64 = 1
        _ = unsafe write(descriptor, &one, 8)
    }

    fileprivate func takeAll() -> [Message] {
        var count: UInt64 = 0
        _ = unsafe read(descriptor, &count, 8)
        return messages.withLock { messages in
            let taken = messages
            messages = []
            return taken
        }
    }
}

extension Worker {
    /// Starts listening to `mailbox`. The worker keeps it for life.
    package func listen(to mailbox: Mailbox) {
        core.value.mailbox = mailbox
        io { $0.watchMailbox(mailbox.descriptor, OperationID(.mailbox, slot: 0, generation: 0)) }
    }

    /// The one that it listens to.
    package var mailbox: Mailbox? { core.value.mailbox }

    func readMailbox(_ completion: Completion) {
        guard let mailbox = core.value.mailbox else { return }
        for message in mailbox.takeAll() { message(self) }
        adoptConnections()
        if !completion.flags.contains(.more) { listen(to: mailbox) }
    }
}
