internal import CIOUring
internal import Glibc

/// What this kernel and container allow, found by trying: `doctor` and `/server_info` show it.
package struct RingCapabilities: Sendable {
    package var kernel: String
    /// Why a ring cannot be had, or nil when it can.
    package var lack: SystemLack?
    /// Feature name → there or not, in the order in which `doctor` prints them.
    package var features: [(name: String, isThere: Bool)] = []

    /// The oldest kernel that has everything the engine uses.
    package static let baseline = "6.1"
    package static let doctorHint = "`ringway doctor` shows what this system allows"

    package static func probe() -> RingCapabilities {
        var found = RingCapabilities(kernel: kernelRelease(), lack: nil)
        var ring = unsafe io_uring()
        var features: UInt32 = 0
        var flags: UInt32 = 0
        let result = unsafe rw_ring_create(&ring, 8, 16, &features, &flags)
        guard result == 0 else {
            found.lack = explain(setupError: -result)
            return found
        }
        defer { unsafe rw_ring_close(&ring) }
        found.features = [
            ("single issuer, deferred completions", true),
            ("no submission array", flags & UInt32(IORING_SETUP_NO_SQARRAY) != 0),
            ("receive and send bundles", features & UInt32(RW_FEAT_RECVSEND_BUNDLE) != 0),
            ("minimum wait", features & UInt32(RW_FEAT_MIN_TIMEOUT) != 0),
            ("waiting not counted as I/O wait", features & UInt32(RW_FEAT_NO_IOWAIT) != 0),
        ]
        found.lack = lackAfterUse()
        return found
    }

    /// Receives through a buffer ring once, on a socket pair: version numbers and feature bits do not tell
    /// whether that works (distributions backport both features and bugs).
    private static func lackAfterUse() -> SystemLack? {
        do throws(SystemLack) {
            let backend = try URingBackend(submissionEntries: 8)
            defer { backend.stop() }
            try backend.start()
            try backend.registerBuffers(entries: 8)
            return try exchange(on: backend)
        } catch {
            return error
        }
    }

    private static func exchange(on backend: URingBackend) throws(SystemLack) -> SystemLack? {
        var ends: (Int32, Int32) = (-1, -1)
        let made = unsafe withUnsafeMutablePointer(to: &ends) {
            unsafe $0.withMemoryRebound(to: Int32.self, capacity: 2) {
                unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, $0)
            }
        }
        guard made == 0 else { return nil }  // out of descriptors says nothing about the ring
        defer {
            _ = Glibc.close(ends.0)
            _ = Glibc.close(ends.1)
        }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { unsafe memory.deallocate() }
        unsafe backend.provide(3, memory, 4096)
        backend.publishBuffers()
        let id = OperationID(.receive, slot: 1, generation: 1)
        backend.receive(ends.0, id)
        var byte: UInt8 = 42
        _ = unsafe write(ends.1, &byte, 1)
        let batch = CompletionBatch()
        defer { batch.destroy() }
        let count = backend.wait(timeoutNs: 1_000_000_000, into: batch)
        // Kernel 6.1 adds a second answer at once: with its only buffer used the receive ends for want of one.
        let works = count >= 1 && batch[0].id == id && batch[0].result == 1 && batch[0].buffer == 3
        if works { return nil }
        return SystemLack(
            "io_uring: multishot receive into provided buffers does not work on kernel \(kernelRelease())",
            remedy: "run kernel \(baseline) or newer")
    }

    static func explain(setupError error: Int32) -> SystemLack {
        let kernel = kernelRelease()
        switch error {
        case ENOSYS:
            return SystemLack(
                "io_uring is not there: kernel \(kernel) was built without it or a sandbox hides it",
                remedy: "run kernel \(baseline) or newer, outside sandboxes such as gVisor")
        case EPERM, EACCES:
            if let disabled = readFirstLine("/proc/sys/kernel/io_uring_disabled"), disabled != "0" {
                return SystemLack(
                    "io_uring is forbidden: sysctl kernel.io_uring_disabled is \(disabled)",
                    remedy: "`sysctl -w kernel.io_uring_disabled=0`, or 1 and a process in kernel.io_uring_group")
            }
            return SystemLack(
                "io_uring is forbidden: a seccomp profile or security module refused io_uring_setup "
                    + "(the default in Docker, containerd and Kubernetes)",
                remedy: "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile")
        case EINVAL:
            return SystemLack(
                "kernel \(kernel) is too old: io_uring there lacks SINGLE_ISSUER and DEFER_TASKRUN",
                remedy: "run kernel \(baseline) or newer")
        case ENOMEM:
            return SystemLack(
                "io_uring: not enough lockable memory for a ring (RLIMIT_MEMLOCK is \(memlockLimit()))",
                remedy: "raise `ulimit -l` or LimitMEMLOCK=, or use fewer workers")
        case EMFILE, ENFILE:
            return SystemLack(
                "no descriptor for a ring: \(describe(error))", remedy: "raise `ulimit -n` or LimitNOFILE=")
        default:
            return SystemLack("io_uring_setup failed: \(describe(error))", remedy: "check `dmesg` and limits")
        }
    }

    static func explain(bufferRingError error: Int32) -> SystemLack {
        if error == ENOMEM { return explain(setupError: ENOMEM) }
        return SystemLack(
            "kernel \(kernelRelease()) refuses provided-buffer rings: \(describe(error))",
            remedy: "run kernel \(baseline) or newer")
    }

    package static func kernelRelease() -> String {
        readFirstLine("/proc/sys/kernel/osrelease") ?? "unknown"
    }

    private static func memlockLimit() -> String {
        let bytes = rw_memlock_limit()
        return bytes < 0 ? "unlimited" : "\(bytes) bytes"
    }
}

/// The first line of a small file such as those in /proc, or nil.
package func readFirstLine(_ path: String) -> String? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { _ = Glibc.close(descriptor) }
    return unsafe withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
        let count = unsafe read(descriptor, buffer.baseAddress, buffer.count)
        guard count > 0 else { return nil }
        let line = unsafe buffer.prefix(count).prefix { $0 != UInt8(ascii: "\n") }
        return unsafe String(decoding: line, as: UTF8.self)
    }
}
