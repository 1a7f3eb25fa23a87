internal import Config
internal import Engine
internal import Glibc

/// The files that one `tls` points to, as they were when they were read.
package struct TLSFiles: Sendable, Equatable {
    /// What tells one content of a file from another without reading it.
    private struct Signature: Sendable, Equatable {
        var device: UInt64
        var inode: UInt64
        var size: Int64
        var modified: timespec64
        var changed: timespec64

        struct timespec64: Sendable, Equatable {
            var seconds: Int
            var nanoseconds: Int
        }
    }

    /// nil for a file that is not there.
    private var signatures: [String: Signature?] = [:]

    /// More than any system's bundle of authorities has.
    private static let bytesMax = 4 << 20

    /// Whether none of the files has changed since they were read.
    package var areUnchanged: Bool {
        signatures.allSatisfy { path, known in Self.signature(of: path) == known }
    }

    /// The same files as they are now.
    var asTheyAreNow: TLSFiles {
        var files = TLSFiles()
        for path in signatures.keys { files.signatures[path] = .some(Self.signature(of: path)) }
        return files
    }

    private static func signature(of path: String) -> Signature? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        return Signature(
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
            modified: .init(seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec),
            changed: .init(seconds: status.st_ctim.tv_sec, nanoseconds: status.st_ctim.tv_nsec))
    }

    /// Reads a file; nil after reporting why that cannot be.
    mutating func read(_ file: FileReference, _ diagnostics: Diagnostics) -> [UInt8]? {
        // Before reading: a change while we read is seen as a change later.
        signatures[file.path] = .some(Self.signature(of: file.path))
        let descriptor = unsafe open(file.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return refuse(file, describe(errno), diagnostics) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        while bytes.count <= Self.bytesMax {
            var failure: Int32 = 0
            let chunk = unsafe [UInt8](unsafeUninitializedCapacity: 64 << 10) { buffer, count in
                let received = unsafe Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                if received < 0 { failure = errno }
                count = max(received, 0)
            }
            if failure == EINTR { continue }
            guard failure == 0 else { return refuse(file, describe(failure), diagnostics) }
            if chunk.isEmpty { return bytes }
            bytes += chunk
        }
        return refuse(file, "it has more than \(Self.bytesMax) bytes", diagnostics)
    }

    private func refuse(_ file: FileReference, _ reason: String, _ diagnostics: Diagnostics) -> [UInt8]? {
        diagnostics.report(
            "\(file.path.quotedForMessage) cannot be read: \(reason)", expected: "a readable file",
            at: file.origin.position)
        return nil
    }
}
