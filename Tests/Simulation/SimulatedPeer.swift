internal import Glibc

/// The far end of one connection, a program that follows a plan: it sends, reads, ends, resets or vanishes.
///
/// Everything it sends tells stream and position (`StreamPattern`), and everything it reads is checked.
package final class SimulatedPeer {
    package struct Plan: Sendable {
        package enum Finish: Sendable { case never, afterSending, afterEnd }
        package enum Ending: Sendable {
            case reset
            /// Closes without reading what is left, which resets when something is.
            case close
            case vanish
        }

        /// Bytes to send in all.
        package var sendBytes = 0
        /// Sends back what it reads, and nothing of its own.
        package var echoes = false
        /// Bytes to read in all; it stops reading there.
        package var readLimit = Int.max
        /// Bytes it sends, and reads, a step.
        package var chunkBytes = 64 * 1024
        /// Time between steps; 0 acts as soon as it can.
        package var stepNs: UInt64 = 0
        package var startsAfterNs: UInt64 = 0
        package var finish = Finish.never
        /// Ends out of order when one of the conditions below holds.
        package var ending: Ending?
        package var endsAfterReceived: Int?
        package var endsAfterSent: Int?
        package var endsAfterNs: UInt64?

        package init() {}
    }

    package let stream: UInt32
    package var plan: Plan { didSet { network.touch(self) } }
    package private(set) var sentBytes = 0
    package private(set) var receivedBytes = 0
    /// Whose bytes these are, known after eight of them.
    package private(set) var source: UInt32?
    /// Where the first wrong byte was read.
    package private(set) var corruptAt: Int?
    package private(set) var sawEnd = false
    package private(set) var sawReset = false
    package private(set) var hasFinished = false
    package private(set) var isClosed = false
    package private(set) var hasReset = false
    package var hasVanished: Bool { endpoint.hasVanished }
    /// When it last read something.
    package private(set) var lastReadNs: UInt64 = 0

    /// What it says and hears instead of the pattern.
    package var dialogue: SimulatedDialogue? { didSet { network.touch(self) } }

    let endpoint: SimulatedEndpoint
    var isTouched = false
    private unowned let network: SimulatedNetwork
    private var isTurnScheduled = false
    private var startNs: UInt64
    private var header: [UInt8] = []

    init(stream: UInt32, plan: Plan, endpoint: SimulatedEndpoint, network: SimulatedNetwork) {
        self.stream = stream
        self.plan = plan
        self.endpoint = endpoint
        self.network = network
        startNs = network.nowNs + plan.startsAfterNs
        endpoint.peer = self
        if plan.startsAfterNs > 0 { scheduleTurn(atNs: startNs) }
        if let after = plan.endsAfterNs { network.events.add(.peerTurn(self), atNs: startNs + after) }
        network.touch(self)
    }

    /// It would read now if there were something.
    package var isWaiting: Bool {
        !isClosed && !hasVanished && !sawEnd && receivedBytes < plan.readLimit && room > 0 && network.nowNs >= startNs
    }

    /// Bytes it can take: an echoing peer reads no faster than it can send back.
    private var room: Int {
        plan.echoes ? endpoint.transmitQueue.free - (receivedBytes - sentBytes) : Int.max
    }

    // MARK: By hand

    /// Sends `count` more bytes.
    package func send(_ count: Int) { plan.sendBytes += count }
    package func finish() { plan.finish = .afterSending }
    package func stopReading() { plan.readLimit = receivedBytes }
    package func readOn() { plan.readLimit = Int.max }
    package func reset() { end(.reset) }
    package func close() { end(.close) }
    package func vanish() { end(.vanish) }
    /// Sends text, behind what the dialogue has still to send.
    package func say(_ text: String) {
        dialogue?.say(text)
        network.touch(self)
    }

    // MARK: A step

    /// Something arrived, room became free, or the plan changed.
    func touched() {
        guard network.nowNs >= startNs else { return }
        if plan.stepNs == 0 {
            while step() {}
        } else if !isTurnScheduled {
            scheduleTurn(atNs: network.nowNs + plan.stepNs)
        }
    }

    /// The time of a step has come.
    func takeTurn() {
        isTurnScheduled = false
        guard network.nowNs >= startNs else { return }
        if plan.stepNs == 0 {
            while step() {}
        } else if step() {
            scheduleTurn(atNs: network.nowNs + plan.stepNs)
        }
    }

    private func scheduleTurn(atNs timeNs: UInt64) {
        isTurnScheduled = true
        network.events.add(.peerTurn(self), atNs: timeNs)
    }

    /// Whether anything was done.
    private func step() -> Bool {
        guard !isClosed, !hasVanished else { return false }
        if let ending = plan.ending, isEndingDue {
            end(ending)
            return true
        }
        let hasRead = read()
        let hasSent = send()
        return endInOrder() || hasRead || hasSent
    }

    private var isEndingDue: Bool {
        if let count = plan.endsAfterReceived, receivedBytes >= count { return true }
        if let count = plan.endsAfterSent, sentBytes >= count { return true }
        if let after = plan.endsAfterNs, network.nowNs >= startNs + after { return true }
        return false
    }

    private func read() -> Bool {
        let count = min(endpoint.receiveQueue.count, plan.chunkBytes, plan.readLimit - receivedBytes, room)
        if count > 0 {
            unsafe network.withScratch(count) { scratch in
                unsafe endpoint.receiveQueue.read(into: scratch, count: count)
                if let dialogue {
                    unsafe dialogue.hear(scratch, count)
                } else {
                    unsafe check(scratch, count)
                }
            }
            receivedBytes += count
            lastReadNs = network.nowNs
            network.transmit(endpoint.other)
            return true
        }
        guard endpoint.receiveQueue.isEmpty else { return false }
        if endpoint.hasFailed {
            sawReset = true
            isClosed = true
            endpoint.isClosed = true
            return true
        }
        if endpoint.endArrived, !sawEnd {
            sawEnd = true
            dialogue?.hearEnd()
            return true
        }
        return false
    }

    /// Bytes to send in all, as far as is known.
    private var target: Int { dialogue?.output.count ?? (plan.echoes ? receivedBytes : plan.sendBytes) }

    private func check(_ bytes: UnsafeMutableRawPointer, _ count: Int) {
        var index = 0
        while header.count < StreamPattern.headerBytes, index < count {
            unsafe header.append(bytes.load(fromByteOffset: index, as: UInt8.self))
            index += 1
        }
        guard header.count == StreamPattern.headerBytes else { return }
        let number = header.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        if source == nil {
            source = UInt32(truncatingIfNeeded: number)
            if number > UInt64(UInt32.max) { corruptAt = receivedBytes }
        }
        guard corruptAt == nil, let source else { return }
        if !(unsafe StreamPattern(stream: source).matches(
            bytes + index, from: receivedBytes + index, count: count - index))
        {
            corruptAt = receivedBytes
        }
    }

    private func send() -> Bool {
        guard !hasFinished, !endpoint.hasFailed else { return false }
        let count = min(target - sentBytes, plan.chunkBytes, endpoint.transmitQueue.free)
        guard count > 0 else { return false }
        unsafe network.withScratch(count) { scratch in
            if let dialogue {
                for index in 0..<count {
                    unsafe scratch.storeBytes(
                        of: dialogue.output[sentBytes + index], toByteOffset: index, as: UInt8.self)
                }
            } else if plan.echoes, sentBytes < StreamPattern.headerBytes {
                // The header may not be complete yet: what was read goes back as it is.
                for index in 0..<count {
                    let position = sentBytes + index
                    if position < header.count {
                        unsafe scratch.storeBytes(of: header[position], toByteOffset: index, as: UInt8.self)
                    } else {
                        unsafe StreamPattern(stream: source ?? 0).fill(scratch + index, from: position, count: 1)
                    }
                }
            } else {
                let pattern = StreamPattern(stream: plan.echoes ? source ?? 0 : stream)
                unsafe pattern.fill(scratch, from: sentBytes, count: count)
            }
            unsafe endpoint.transmitQueue.write(from: scratch, count: count)
        }
        sentBytes += count
        network.transmit(endpoint)
        return true
    }

    private func endInOrder() -> Bool {
        let hasSentAll = sentBytes == target
        let wants =
            switch plan.finish {
            case .never: false
            case .afterSending: hasSentAll && (!plan.echoes || sawEnd)
            case .afterEnd: hasSentAll && sawEnd
            }
        if wants, !hasFinished {
            hasFinished = true
            endpoint.endQueued = true
            network.transmit(endpoint)
            return true
        }
        if hasFinished, sawEnd {
            isClosed = true
            endpoint.isClosed = true
            return true
        }
        return false
    }

    private func end(_ ending: Plan.Ending) {
        guard !isClosed, !hasVanished else { return }
        switch ending {
        case .reset:
            isClosed = true
            hasReset = true
            endpoint.resetsOnClose = true
            network.close(endpoint)
        case .close:
            isClosed = true
            hasFinished = true
            network.close(endpoint)
        case .vanish:
            endpoint.hasVanished = true
            network.events.add(.givingUp(endpoint.other), atNs: network.nowNs + SimulatedNetwork.retransmitNs)
        }
    }
}
