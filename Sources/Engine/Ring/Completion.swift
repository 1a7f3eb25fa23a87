/// What an operation was for. Together with slot and generation it is the `user_data` of a submission.
package enum Operation: UInt8, Sendable {
    case accept, receive, send, connect
    /// Readiness of a descriptor whose direction is spliced: its socket to read from, its peer to write to.
    case readable, writable
    case mailbox
    case connectionTimer, listenerTimer, taskTimer
    /// Cancels and closes: they answer only when they fail, and nobody waits for them.
    case housekeeping
}

/// Operation, slot and generation in one word: `operation:8 | generation:24 | slot:32`.
///
/// A slot gets a new generation each time it is handed out, so a completion that outlived its connection
/// (or a timer that fired for one) is recognised and dropped.
package struct OperationID: Hashable, Sendable, BitwiseCopyable {
    package let rawValue: UInt64

    package static let generationMask: UInt32 = 0xFF_FFFF

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package init(_ operation: Operation, slot: UInt32, generation: UInt32) {
        let high = UInt64(operation.rawValue) << 24 | UInt64(generation & Self.generationMask)
        rawValue = high << 32 | UInt64(slot)
    }

    package var operation: Operation? { Operation(rawValue: UInt8(truncatingIfNeeded: rawValue >> 56)) }
    package var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) & Self.generationMask }
    package var slot: UInt32 { UInt32(truncatingIfNeeded: rawValue) }
}

/// One answer of the kernel, or of a simulation of it.
package struct Completion: BitwiseCopyable, Sendable {
    package var id: OperationID
    /// Bytes, a descriptor, or a negative errno.
    package var result: Int32
    package var flags: Flags
    /// The receive buffer that holds the data, when `flags` has `.buffer`.
    package var buffer: UInt16

    package struct Flags: OptionSet, BitwiseCopyable, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }
        package static let buffer = Flags(rawValue: 1)
        /// The operation is still armed and will answer again.
        package static let more = Flags(rawValue: 2)
    }

    package init(id: OperationID, result: Int32, flags: Flags = [], buffer: UInt16 = 0) {
        self.id = id
        self.result = result
        self.flags = flags
        self.buffer = buffer
    }
}
