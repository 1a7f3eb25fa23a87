internal import Engine
internal import Glibc

/// An open file, FIFO, terminal or socket that log lines go to. Writing never waits for a reader: what is not taken
/// at once is written later.
struct AccessLogOutput {
    /// Why a path cannot be written, in words.
    struct Failure: Error {
        let message: String
    }

    private enum Kind {
        case file
        case socket
        /// Shared with other processes, so that it cannot be made non-blocking, and not to be opened anew.
        case blocking
    }

    private let descriptor: Int32
    private let kind: Kind

    /// The owner's and its group's: lines have addresses and paths of clients.
    private static let mode: mode_t = 0o640

    /// Opens `path`, and creates a file where there is none. `/dev/stdout` and `/dev/stderr` are this process's own.
    static func open(_ path: String) throws(Failure) -> AccessLogOutput {
        if let stream = standardStream(path) { return try open(stream: stream) }
        // A FIFO opened for reading too is there without a reader, and survives one that goes.
        let access = isFIFO(path) ? O_RDWR : O_WRONLY | O_CREAT
        let flags = access | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY
        return AccessLogOutput(descriptor: try checked(unsafe Glibc.open(path, flags, mode)), kind: .file)
    }

    /// Whether `open` is likely to succeed, without creating anything.
    static func check(_ path: String) throws(Failure) {
        if standardStream(path) != nil { return }
        if unsafe access(path, F_OK) == 0 {
            let flags = (isFIFO(path) ? O_RDWR : O_WRONLY) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY
            _ = Glibc.close(try checked(unsafe Glibc.open(path, flags)))
            return
        }
        let folder = path.lastIndex(of: "/").map { path[...$0] } ?? "./"
        _ = try checked(unsafe access(String(folder), W_OK | X_OK))
    }

    private static func standardStream(_ path: String) -> Int32? {
        switch path {
        case "/dev/stdout": STDOUT_FILENO
        case "/dev/stderr": STDERR_FILENO
        default: nil
        }
    }

    private static func open(stream: Int32) throws(Failure) -> AccessLogOutput {
        switch type(of: stream) {
        case S_IFREG:
            // The same open file, so that its position is shared with whoever else writes there.
            return AccessLogOutput(descriptor: try duplicate(stream), kind: .file)
        case S_IFSOCK:
            return AccessLogOutput(descriptor: try duplicate(stream), kind: .socket)
        default:
            // Opened anew, because O_NONBLOCK would hold for all who share it.
            let flags = O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY
            let descriptor = unsafe Glibc.open("/proc/self/fd/\(stream)", flags)
            if descriptor >= 0 { return AccessLogOutput(descriptor: descriptor, kind: .file) }
            return AccessLogOutput(descriptor: try duplicate(stream), kind: .blocking)
        }
    }

    private static func duplicate(_ stream: Int32) throws(Failure) -> Int32 {
        try checked(fcntl(stream, F_DUPFD_CLOEXEC, 3))
    }

    private static func type(of descriptor: Int32) -> mode_t {
        var status = stat()
        return unsafe fstat(descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0
    }

    private static func isFIFO(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO
    }

    private static func checked(_ result: Int32) throws(Failure) -> Int32 {
        guard result >= 0 else { throw Failure(message: describe(errno)) }
        return result
    }

    /// What poll(2) promises room for: so many bytes never wait (pipe(7)).
    private static let pipeBytes = 4096

    /// Bytes that were taken, or a negative errno; `-EAGAIN` when none are taken now.
    func write(_ bytes: UnsafeRawBufferPointer) -> Int {
        let result: Int
        switch kind {
        case .file: result = unsafe Glibc.write(descriptor, bytes.baseAddress, bytes.count)
        case .socket:
            let flags = Int32(MSG_DONTWAIT | MSG_NOSIGNAL)
            result = unsafe send(descriptor, bytes.baseAddress, bytes.count, flags)
        case .blocking:
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard unsafe poll(&entry, 1, 0) > 0 else { return Int(-EAGAIN) }
            result = unsafe Glibc.write(descriptor, bytes.baseAddress, min(bytes.count, Self.pipeBytes))
        }
        return result >= 0 ? result : Int(-errno)
    }

    func close() { _ = Glibc.close(descriptor) }
}
