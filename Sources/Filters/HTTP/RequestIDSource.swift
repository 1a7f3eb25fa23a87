internal import Upstream

/// Random numbers for ids and keys of one worker's requests. They tell requests apart and protect nothing.
final class RequestIDSource {
    private var random: SplitMix64

    init() {
        var system = SystemRandomNumberGenerator()
        random = SplitMix64(seed: system.next())
    }

    func next() -> UInt64 { random.next() }
}
