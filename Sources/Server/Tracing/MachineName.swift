internal import Glibc

/// What this machine is called.
enum MachineName {
    static let current = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { text in
        unsafe gethostname(text.baseAddress!, 255) == 0 ? String(cString: text.baseAddress!) : "-"
    }
}
