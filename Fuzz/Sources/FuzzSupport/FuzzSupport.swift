import CLibFuzzer
import Glibc
package import HTTP

nonisolated(unsafe) private var checkInput: (ByteSlice) -> Void = { _ in }
nonisolated(unsafe) private let guarded = GuardedBytes()

/// Hands the command line to libFuzzer and runs `check` on one input after the other, in one thread.
package func runFuzzer(_ check: @escaping (ByteSlice) -> Void) -> Never {
    unsafe checkInput = check
    var argumentCount = CommandLine.argc
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = unsafe CommandLine.unsafeArgv
    let status = unsafe LLVMFuzzerRunDriver(&argumentCount, &arguments) { input, count in
        if let bytes = unsafe guarded.place(input, count) { unsafe checkInput(bytes) }
        return 0
    }
    exit(status)
}

/// Memory that ends where an unreadable page begins, so that reading one byte past the end of an input is a crash
/// whether or not an address sanitizer is there to see it.
@safe
private final class GuardedBytes {
    private static let capacity = 1 << 20
    private let start: UnsafeMutableRawPointer

    init() {
        let pageBytes = Int(getpagesize())
        guard
            let mapped = unsafe mmap(
                nil, Self.capacity + pageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            unsafe mapped != MAP_FAILED,
            unsafe mprotect(mapped + Self.capacity, pageBytes, PROT_NONE) == 0
        else { fatalError("no memory for a guarded buffer") }
        unsafe start = mapped
    }

    /// Copies an input against the guard page; good until the next call. Nil when it does not fit.
    @unsafe
    func place(_ input: UnsafePointer<UInt8>?, _ count: Int) -> ByteSlice? {
        guard let input = unsafe input, count <= Self.capacity else { return nil }
        let place = unsafe start + (Self.capacity - count)
        unsafe place.copyMemory(from: input, byteCount: count)
        return unsafe ByteSlice(start: place, count: count)
    }
}

/// Sizes of the pieces in which an input arrives, drawn from the input itself so that a crash repeats.
package struct Pieces {
    private var state: UInt64

    package init(_ bytes: ByteSlice) {
        state = 0xCBF2_9CE4_8422_2325
        for index in 0..<bytes.count { state = (state ^ UInt64(bytes[index])) &* 0x100_0000_01B3 }
    }

    /// The next size, 1–16.
    package mutating func next() -> Int {
        state = state &* 0x5851_F42D_4C95_7F2D &+ 0x1405_7B7E_F767_814F
        return Int(state >> 60) + 1
    }
}

extension HTTP1BodyFraming {
    /// The field that announces this framing.
    package var lengthField: HTTP1LengthField {
        switch self {
        case .none, .untilClose: .none
        case .length(let length): .contentLength(length)
        case .chunked: .chunked
        }
    }
}
