internal import CIOUring
internal import Glibc

/// How much a thread that is no worker leaves the CPU to others, the workers first of all.
package enum ThreadStanding: Sendable {
    /// As everybody else.
    case usual
    /// 0 to 19. A thread that has the CPU keeps it for its slice all the same: over a millisecond.
    case nice(Int32)
    /// Runs where nothing else wants to, and gives way at once.
    case idle

    /// Of the calling thread from now on. What the system does not
    /// allow is left as it is: everything works as well without.
    ///
    /// - Parameter name: for `top -H` and debuggers; at most 15 bytes are kept
    package func apply(name: String) {
        unsafe rw_name_thread(name)
        switch self {
        case .usual: break
        case .nice(let niceness): be(niceness)
        case .idle: if rw_run_when_idle() < 0 { be(19) }
        }
    }

    /// Of one thread alone, on Linux.
    private func be(_ niceness: Int32) { _ = setpriority(Int32(PRIO_PROCESS.rawValue), 0, niceness) }
}
