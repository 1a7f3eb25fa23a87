/// Something that wants to be called at a time: a request's timeout, a filter's delay.
open class TimerTask {
    public init() {}

    /// - Parameter tag: what the caller of `schedule` gave, to tell several timers of one task apart.
    open func onTimer(_ tag: Int, on worker: Worker) {}
}

/// A timer that a task waits for. Cancelling one that has fired does nothing.
public struct TaskTimer: Equatable, Sendable {
    fileprivate let id: TimerWheel.ID
    @usableFromInline let slot: UInt32
    fileprivate let generation: UInt32

    public static let none = TaskTimer(id: .none, slot: UInt32.max, generation: 0)

    /// Not `none`. It may have fired or been cancelled since.
    @inlinable
    public var isSet: Bool { slot != UInt32.max }
}

/// Tasks by the slot that their timer's token names. Slots are reused; generations tell their uses apart.
struct TimerTasks {
    fileprivate struct Entry {
        var task: TimerTask?
        var tag: Int
        var generation: UInt32
    }

    fileprivate var entries: [Entry] = []
    fileprivate var free: [UInt32] = []

    fileprivate mutating func add(_ task: TimerTask, _ tag: Int) -> (slot: UInt32, generation: UInt32) {
        guard let slot = free.popLast() else {
            entries.append(Entry(task: task, tag: tag, generation: 0))
            return (UInt32(entries.count - 1), 0)
        }
        entries[Int(slot)].task = task
        entries[Int(slot)].tag = tag
        return (slot, entries[Int(slot)].generation)
    }

    fileprivate mutating func remove(_ slot: UInt32, _ generation: UInt32) -> Entry? {
        guard Int(slot) < entries.count, entries[Int(slot)].generation == generation,
            entries[Int(slot)].task != nil
        else { return nil }
        let entry = entries[Int(slot)]
        entries[Int(slot)].task = nil
        entries[Int(slot)].generation = (generation + 1) & OperationID.generationMask
        free.append(slot)
        return entry
    }
}

extension Worker {
    /// Calls `task.onTimer(tag)` in `delayNs` nanoseconds, or up to 4 ms later. The worker keeps the task until then.
    public func schedule(_ task: TimerTask, tag: Int = 0, afterNs delayNs: UInt64) -> TaskTimer {
        let place = core.value.tasks.add(task, tag)
        let token = OperationID(.taskTimer, slot: place.slot, generation: place.generation)
        let id = core.value.timers.schedule(atNs: nowNs + delayNs, token: token)
        return TaskTimer(id: id, slot: place.slot, generation: place.generation)
    }

    public func cancel(_ timer: TaskTimer) {
        guard core.value.tasks.remove(timer.slot, timer.generation) != nil else { return }
        core.value.timers.cancel(timer.id)
    }

    func taskTimerFired(_ token: OperationID) {
        guard let entry = core.value.tasks.remove(token.slot, token.generation) else { return }
        entry.task?.onTimer(entry.tag, on: self)
    }
}
