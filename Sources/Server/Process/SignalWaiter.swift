internal import Glibc
internal import Logging

/// Takes signals in one place, as plain calls: no handler ever interrupts anything.
struct SignalWaiter {
    private var set = sigset_t()

    /// Blocks the signals for this thread and all that it starts from now on.
    init() {
        unsafe sigemptyset(&set)
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2] { unsafe sigaddset(&set, signal) }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        // A peer that has gone is an error of a send, not a signal; splice(2) has no flag to say so.
        signal(SIGPIPE, SIG_IGN)
    }

    /// Waits for signals for the rest of the process.
    func run(_ control: Control) -> Never {
        while true {
            var number: Int32 = 0
            guard unsafe withUnsafePointer(to: set, { unsafe sigwait($0, &number) }) == 0 else { continue }
            switch number {
            case SIGTERM, SIGINT: control.drain()
            case SIGHUP: control.reload()
            case SIGUSR2: control.log.warning("USR2: sockets are not handed to a new binary yet; nothing was done")
            default: control.reopenLogs()  // USR1
            }
        }
    }
}
