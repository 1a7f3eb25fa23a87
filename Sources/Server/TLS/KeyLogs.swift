internal import Config
internal import Engine
internal import Glibc
internal import Synchronization

/// The files that `key_log` names: opened once, appended to on a thread of their own, for workers never wait for a
/// disk.
final class KeyLogs: Sendable {
    private struct State {
        var descriptors: [String: Int32] = [:]
        var queue: ControlQueue?
    }

    private let state = Mutex(State())

    /// Where the secrets of sessions go for `file`; nil after reporting why that cannot be.
    func log(to file: FileReference, _ diagnostics: Diagnostics) -> TLSKeyLog? {
        let opened = state.withLock { state -> (queue: ControlQueue, descriptor: Int32)? in
            if state.queue == nil { state.queue = try? ControlQueue("key-log") }
            guard let queue = state.queue else { return nil }
            if let known = state.descriptors[file.path] { return (queue, known) }
            // Whoever reads it can read the traffic.
            let descriptor = unsafe open(file.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else { return nil }
            state.descriptors[file.path] = descriptor
            return (queue, descriptor)
        }
        guard let opened else {
            diagnostics.report(
                "\(file.path.quotedForMessage) cannot be written: \(describe(errno))", expected: "a writable file",
                at: file.origin.position)
            return nil
        }
        return { line in
            opened.queue.async {
                let bytes = Array("\(line)\n".utf8)
                _ = unsafe bytes.withUnsafeBytes { unsafe write(opened.descriptor, $0.baseAddress, $0.count) }
            }
        }
    }
}
