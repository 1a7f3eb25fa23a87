internal import CRE2

/// Which stats are wanted: those in whose names a regular expression matches somewhere. In linear time, as it comes
/// from whoever asks.
@safe
final class StatFilter: @unchecked Sendable {  // made by one thread, then used by one other
    private let program: OpaquePointer

    struct Invalid: Error {
        let message: String
    }

    private static let memoryMax: Int64 = 1 << 20
    private static let patternBytesMax = 1024

    init(_ pattern: String) throws(Invalid) {
        guard pattern.utf8.count <= Self.patternBytesMax else {
            throw Invalid(message: "the filter is longer than \(Self.patternBytesMax) bytes")
        }
        var problem = rw_re2_problem()
        let compiled = unsafe rw_re2_compile(pattern, pattern.utf8.count, Self.memoryMax, &problem)
        guard let compiled = unsafe compiled else {
            let message = unsafe withUnsafeBytes(of: problem.message) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw Invalid(message: "the filter is no regular expression: \(message)")
        }
        unsafe program = compiled
    }

    deinit { unsafe rw_re2_free(program) }

    func matches(_ name: [UInt8]) -> Bool {
        var range = rw_re2_range(start: -1, end: -1)
        return unsafe name.withUnsafeBufferPointer { bytes in
            unsafe bytes.withMemoryRebound(to: CChar.self) { text in
                unsafe rw_re2_find(program, text.baseAddress, text.count, 0, &range, 1)
            }
        }
    }
}
