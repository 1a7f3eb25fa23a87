/// What is counted for each listener and each cluster: the cells at the front of their scope.
///
/// The closes by reason follow as one cell a reason (`closes(_:)`).
package enum ConnectionStat: Int, CaseIterable, Sendable {
    case opened
    case active
    case bytesReceived
    case bytesSent
    /// Times that reading was paused because the other side did not keep up.
    case readPauses
    /// Bytes that moved by splice, without passing through user space (part of received and sent).
    case bytesSpliced
    /// Finished TLS handshakes by version, and those of both that resumed a session.
    case tls12Handshakes, tls13Handshakes
    case tlsResumptions
    /// Places below a limit that are about to be taken (`ConnectionLimit`).
    case claimed

    package static func closes(_ reason: CloseReason) -> StatCell {
        StatCell(rawValue: allCases.count + Int(reason.rawValue))
    }

    /// Cells that these take; what an owner counts besides starts here.
    package static let cellCount = allCases.count + CloseReason.allCases.count
}

/// A cell given by its place in the scope.
package struct StatCell: RawRepresentable, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }
}

/// What a listener counts besides its connections.
package enum ListenerStat: Int, Sendable {
    case rejectedLimit = 64
    case rejectedDescriptors
    case rejectedTable
    /// Accepts that failed for another reason.
    case acceptErrors
    /// What clients said first, where chains are chosen by it: a TLS client's hello, anything else, a hello that is none.
    case firstBytesHello, firstBytesPlain, firstBytesMalformed
    /// Clients that did not say enough in time.
    case firstBytesTimeouts

    package static let cellCount = 72
}

/// What each worker counts about itself.
package enum WorkerStat: Int, CaseIterable, Sendable {
    case connectionsActive
    /// CPU time, and the rest. As of the end of the last interval of the worker's `LoadMeter`.
    case busyNs, idleNs
    case turns
    case completions
    case enters
    case overflows
    case staleCompletions
    case buffersInUse
    case buffersProvided
    case heapBytes
    /// Receivers that found no buffer and waited for one.
    case bufferWaits
    /// Sends whose buffers were taken back by copying the rest, because the pool ran low.
    case sendsCopied
    case segmentsInUse
    case timersArmed
    case spliceSwitches
    case spliceFallbacks
    case pipesOpen
    /// Thousandths of a CPU that it used in the last interval of its `LoadMeter`, and when that was measured.
    case busyPermille, loadMeasuredNs
    /// Accepted connections that went to another worker, and those that came from one.
    case connectionsGiven, connectionsTaken

    package static let cellCount = allCases.count
}
