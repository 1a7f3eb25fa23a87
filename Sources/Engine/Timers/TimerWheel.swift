/// Deadlines of one worker: a hierarchy of four wheels of 64 slots, so that arming and cancelling cost the
/// same with ten timers and a million.
///
/// The tick is about 4 ms (2^22 ns), the range about 19 hours; what lies further off waits in the last wheel
/// and is placed again when it comes round. A timer fires at its deadline or up to one tick later, never
/// before. The wheel calls nobody: `advance` answers what is due, one at a time.
package struct TimerWheel {
    /// A timer, until it has fired or was cancelled.
    package struct ID: Equatable, BitwiseCopyable, Sendable {
        fileprivate let index: UInt32
        package static let none = ID(index: UInt32.max)
    }

    private struct Node: BitwiseCopyable {
        var deadlineTick: UInt64
        var token: OperationID
        var next: UInt32
        var previous: UInt32
        /// The slot that the node hangs in, or `due`.
        var slot: UInt16
    }

    package static let tickShift: UInt64 = 22
    private static let levels = 4
    private static let slotsPerLevel = 64
    private static let due = UInt16(levels * slotsPerLevel)
    private static let nobody = UInt32.max

    private var nodes: SlotTable<Node>
    /// First node of each slot; the last entry is the list of what is due.
    private var heads: [UInt32]
    /// One bit a slot that is not empty, per level.
    private var occupied: [UInt64]
    private var currentTick: UInt64

    package var count: Int { nodes.inUse }

    package init(nowNs: UInt64, capacity: Int) {
        nodes = SlotTable(capacity: capacity)
        heads = Array(repeating: Self.nobody, count: Self.levels * Self.slotsPerLevel + 1)
        occupied = Array(repeating: 0, count: Self.levels)
        currentTick = nowNs >> Self.tickShift
    }

    /// - Parameter token: what `advance` answers when the timer fires.
    /// - Returns: `.none` when the wheel is full, which its capacity (timers per slot × slots) rules out.
    package mutating func schedule(atNs deadlineNs: UInt64, token: OperationID) -> ID {
        guard let index = nodes.take() else { return .none }
        // Round up: a timer must not fire before its deadline.
        let tick = (deadlineNs >> Self.tickShift) + 1
        nodes[index] = Node(
            deadlineTick: tick, token: token, next: Self.nobody, previous: Self.nobody, slot: 0)
        place(index)
        return ID(index: index)
    }

    package mutating func cancel(_ id: ID) {
        guard id != .none else { return }
        unlink(id.index)
        nodes.giveBack(id.index)
    }

    /// The next timer that is due at `nowNs`, or nil. Ask until nil; timers may be armed in between.
    package mutating func advance(toNs nowNs: UInt64) -> OperationID? {
        let target = nowNs >> Self.tickShift
        while true {
            if heads[Int(Self.due)] != Self.nobody {
                let index = heads[Int(Self.due)]
                let token = nodes[index].token
                unlink(index)
                nodes.giveBack(index)
                return token
            }
            guard currentTick < target else { return nil }
            step(towards: target)
        }
    }

    /// When `advance` next has something to do, as an upper bound for sleeping; nil when no timer is armed.
    package var nextWakeNs: UInt64? {
        if heads[Int(Self.due)] != Self.nobody { return currentTick << Self.tickShift }
        var best: UInt64?
        for level in 0..<Self.levels where occupied[level] != 0 {
            let shift = UInt64(level * 6)
            let here = (currentTick >> shift) & 63
            // Distance to the next slot in use, going round once; a slot equal to `here` is a whole turn away.
            let rotated = occupied[level].rotated(right: here + 1)
            let distance = UInt64(rotated.trailingZeroBitCount) + 1
            let tick = ((currentTick >> shift) + distance) << shift
            best = min(best ?? tick, tick)
        }
        return best.map { $0 << Self.tickShift }
    }

    package func destroy() { nodes.destroy() }

    // MARK: Wheels

    /// Moves to the next tick at which anything happens, at most `target`.
    private mutating func step(towards target: UInt64) {
        guard let wakeNs = nextWakeNs else {
            currentTick = target
            return
        }
        currentTick = min(target, max(currentTick + 1, wakeNs >> Self.tickShift))
        // A wheel's slot is spread over the finer wheels when the finer ones have come round to it.
        for level in stride(from: Self.levels - 1, through: 1, by: -1) {
            let shift = UInt64(level * 6)
            if currentTick & ((1 << shift) - 1) == 0 { cascade(level * 64 + Int((currentTick >> shift) & 63)) }
        }
        cascade(Int(currentTick & 63))
    }

    private mutating func cascade(_ slot: Int) {
        var index = heads[slot]
        while index != Self.nobody {
            let next = nodes[index].next
            unlink(index)
            place(index)
            index = next
        }
    }

    private mutating func place(_ index: UInt32) {
        let tick = nodes[index].deadlineTick
        guard tick > currentTick else {
            link(index, into: Int(Self.due))
            return
        }
        for level in 0..<Self.levels {
            let shift = UInt64(level * 6)
            // One slot less than a full turn, so that a slot never means both now and a turn from now.
            if (tick >> shift) - (currentTick >> shift) < 64 {
                link(index, into: level * 64 + Int((tick >> shift) & 63))
                return
            }
        }
        let shift = UInt64((Self.levels - 1) * 6)
        link(index, into: (Self.levels - 1) * 64 + Int(((currentTick >> shift) + 63) & 63))
    }

    private mutating func link(_ index: UInt32, into slot: Int) {
        let first = heads[slot]
        nodes[index].slot = UInt16(slot)
        nodes[index].previous = Self.nobody
        nodes[index].next = first
        if first != Self.nobody { nodes[first].previous = index }
        heads[slot] = index
        if slot < Int(Self.due) { occupied[slot / 64] |= 1 << UInt64(slot % 64) }
    }

    private mutating func unlink(_ index: UInt32) {
        let node = nodes[index]
        let slot = Int(node.slot)
        if node.previous == Self.nobody {
            heads[slot] = node.next
        } else {
            nodes[node.previous].next = node.next
        }
        if node.next != Self.nobody { nodes[node.next].previous = node.previous }
        if slot < Int(Self.due), heads[slot] == Self.nobody { occupied[slot / 64] &= ~(1 << UInt64(slot % 64)) }
    }
}

extension UInt64 {
    fileprivate func rotated(right count: UInt64) -> UInt64 {
        let places = count & 63
        return places == 0 ? self : self >> places | self << (64 - places)
    }
}
