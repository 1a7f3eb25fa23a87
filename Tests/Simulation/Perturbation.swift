/// What a simulated kernel does that it may do, but that no test on a quiet machine ever sees.
///
/// Chances are in permille of the occasions. `none` is a kernel at its most orderly.
package struct Perturbation: Sendable {
    /// Answers of different operations come in any order within a turn.
    package var shufflesCompletions = false
    /// A turn hands out fewer answers than are there.
    package var smallBatch = 0
    /// An answer comes later than what it reports happened, by up to `delayMaxNs`.
    package var delayedCompletion = 0
    package var delayMaxNs: UInt64 = 0
    /// Bytes take up to this long from one end to the other; 0 delivers at once.
    package var latencyMaxNs: UInt64 = 0
    /// A receive or a splice takes less than is there.
    package var shortRead = 0
    /// A send ends before all of it was taken; a splice gives less than fits.
    package var shortWrite = 0
    /// A multishot operation ends although nothing is wrong, as after an overflow of the completion queue.
    package var endedMultishot = 0
    /// A receive is told that there are no buffers although there are.
    package var spuriousNoBuffers = 0
    /// The end of a stream comes with a buffer that holds nothing.
    package var emptyBufferAtEnd = 0
    /// A cancelled operation goes on for up to `delayMaxNs` before it ends.
    package var lateCancel = 0
    /// After a close, an answer with the closed connection's id turns up, sometimes with a buffer.
    package var staleCompletion = 0
    /// An accept or the opening of a socket finds no descriptor.
    package var noDescriptor = 0
    /// A connection dies in the accept queue.
    package var abortedAccept = 0

    package init() {}

    package static let none = Perturbation()

    /// Everything at once.
    package static var all: Perturbation {
        var all = Perturbation()
        all.shufflesCompletions = true
        all.smallBatch = 300
        all.delayedCompletion = 200
        all.delayMaxNs = 3_000_000
        all.latencyMaxNs = 1_000_000
        all.shortRead = 250
        all.shortWrite = 150
        all.endedMultishot = 60
        all.spuriousNoBuffers = 60
        all.emptyBufferAtEnd = 300
        all.lateCancel = 400
        all.staleCompletion = 300
        all.noDescriptor = 10
        all.abortedAccept = 10
        return all
    }

    /// Some of it, some more and some less, so that rare combinations are met too.
    package static func drawn(from random: inout SimulationRandom) -> Perturbation {
        let all = Perturbation.all
        var drawn = Perturbation()
        func some(_ permille: Int) -> Int {
            random.chance(500) ? 0 : min(900, permille * random.number(1, 3))
        }
        drawn.shufflesCompletions = random.chance(500)
        drawn.smallBatch = some(all.smallBatch)
        drawn.delayedCompletion = some(all.delayedCompletion)
        drawn.delayMaxNs = UInt64(random.magnitude(5_000_000))
        drawn.latencyMaxNs = random.chance(500) ? 0 : UInt64(random.magnitude(2_000_000))
        drawn.shortRead = some(all.shortRead)
        drawn.shortWrite = some(all.shortWrite)
        drawn.endedMultishot = some(all.endedMultishot)
        drawn.spuriousNoBuffers = some(all.spuriousNoBuffers)
        drawn.emptyBufferAtEnd = some(all.emptyBufferAtEnd)
        drawn.lateCancel = some(all.lateCancel)
        drawn.staleCompletion = some(all.staleCompletion)
        drawn.noDescriptor = some(all.noDescriptor)
        drawn.abortedAccept = some(all.abortedAccept)
        return drawn
    }
}
