internal import Engine
internal import Glibc

/// The version that `ringway version`, `/server_info` and the metrics tell.
package enum RingwayVersion {
    package static let current = "0.1.0"
}

/// What the operating system says about this process.
struct ProcessUsage {
    var cpuSeconds: Double
    var residentBytes: Int
    /// Resident and not of a file: heap, buffers and stacks.
    var anonymousBytes: Int
    var virtualBytes: Int
    var openDescriptors: Int
    var descriptorsMax: UInt64
    /// Seconds since the epoch.
    var startTime: Double
    var nowSeconds: Int { time(nil) }

    static func now() -> ProcessUsage {
        var usage = rusage()
        _ = unsafe getrusage(Int32(RUSAGE_SELF.rawValue), &usage)
        let cpu =
            Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
            + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
        let pages = (readFirstLine("/proc/self/statm") ?? "0 0").split(separator: " ").compactMap { Int($0) }
        let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))
        return ProcessUsage(
            cpuSeconds: cpu, residentBytes: (pages.count > 1 ? pages[1] : 0) * pageSize,
            anonymousBytes: (pages.count > 2 ? pages[1] - pages[2] : 0) * pageSize,
            virtualBytes: (pages.first ?? 0) * pageSize, openDescriptors: openDescriptorCount(),
            descriptorsMax: DescriptorLimit.current, startTime: startTimeSeconds)
    }

    /// When this process started; field 22 of /proc/self/stat counts ticks since boot.
    private static let startTimeSeconds: Double = {
        var now = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        var boot = timespec()
        unsafe clock_gettime(CLOCK_BOOTTIME, &boot)
        let wall = Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
        let sinceBoot = Double(boot.tv_sec) + Double(boot.tv_nsec) / 1e9
        guard let stat = readFirstLine("/proc/self/stat"), let end = stat.lastIndex(of: ")") else { return wall }
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        guard fields.count > 19, let ticks = Double(fields[19]) else { return wall }
        return wall - sinceBoot + ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
    }()

    private static func openDescriptorCount() -> Int {
        guard let folder = unsafe opendir("/proc/self/fd") else { return 0 }
        defer { unsafe closedir(folder) }
        var count = 0
        while unsafe readdir(folder) != nil { count += 1 }
        return max(0, count - 3)  // ".", ".." and the folder itself
    }
}

/// How many descriptors this process may have: two per proxied connection, so the hard limit is taken.
package enum DescriptorLimit {
    package static func raise() {
        var limit = rlimit()
        guard unsafe getrlimit(resource, &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(resource, &limit)
    }

    package static var hard: UInt64 {
        var limit = rlimit()
        return unsafe getrlimit(resource, &limit) == 0 ? UInt64(limit.rlim_max) : 0
    }

    static var current: UInt64 {
        var limit = rlimit()
        return unsafe getrlimit(resource, &limit) == 0 ? UInt64(limit.rlim_cur) : 0
    }

    private static let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
}
