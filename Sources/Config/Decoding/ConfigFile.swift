import Glibc

/// Reads a configuration file, or one that a configuration names, from disk, as far as the bounds go.
package enum ConfigFile {
    /// The text of the file; nil after reporting why there is none.
    ///
    /// - Parameter position: where to report: the place that names the file, or its own start
    package static func read(
        path: String, at position: ConfigPosition = .start, diagnostics: Diagnostics
    ) -> String? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return refuse(errno: errno, at: position, diagnostics) }
        defer { close(descriptor) }
        let bytesMax = ConfigDocumentLimits.bytes
        var bytes: [UInt8] = []
        var failure: CInt = 0
        // Not by the size that stat says: pipes have none, and a file may grow while it is read.
        while bytes.count <= bytesMax, failure == 0 {
            let chunk = unsafe [UInt8](unsafeUninitializedCapacity: 64 << 10) { buffer, count in
                let received = unsafe Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                if received < 0 { failure = errno }
                count = max(received, 0)
            }
            if failure == EINTR {
                failure = 0
            } else if chunk.isEmpty {
                break
            } else {
                bytes += chunk
            }
        }
        guard failure == 0 else { return refuse(errno: failure, at: position, diagnostics) }
        guard bytes.count <= bytesMax else {
            diagnostics.report("the file has more than \(bytesMax) bytes", expected: "at most that", at: position)
            return nil
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            diagnostics.report("the file is not UTF-8", expected: "text in UTF-8", at: position)
            return nil
        }
        return text
    }

    private static func refuse(errno code: CInt, at position: ConfigPosition, _ diagnostics: Diagnostics) -> String? {
        let reason = unsafe String(cString: strerror(code))
        diagnostics.report("the file cannot be read: \(reason)", expected: "a readable file", at: position)
        return nil
    }
}
