import Engine
import HTTP
import Testing

@testable import Filters

@Suite("FlightRecorder")
struct FlightRecorderTests {
    private func write(_ number: UInt64, to recorder: FlightRecorder) {
        recorder.write { writer in
            writer.set(.startedNs, number)
            writer.set(.durationNs, number &* 3)
            writer.set(.requestEndedNs, at: 0, from: number)
            writer.set(.upstreamHeadNs, at: number + 5, from: number)
            writer.set(.bytesSent, number &* 7)
            var facts = RecordFacts()
            facts.status = UInt16(truncatingIfNeeded: number)
            writer.set(.facts, facts.word)
            let lengths = ByteSlice.withBytes(of: "/\(number)") { writer.set(.path, $0) << 40 }
            writer.set(.lengths, lengths)
        }
    }

    private func records(_ recorder: FlightRecorder) -> [RequestRecord] {
        var records: [RequestRecord] = []
        recorder.read { records.append($0) }
        return records
    }

    @Test func anEmptyRingHasNoRecords() {
        #expect(records(FlightRecorder(capacity: 4)).isEmpty)
    }

    @Test func keepsTheNewestAndShowsThemFirst() {
        let recorder = FlightRecorder(capacity: 4)
        for number in 1...3 as ClosedRange<UInt64> { write(number, to: recorder) }
        #expect(records(recorder).map(\.startedNs) == [3, 2, 1])
        for number in 4...11 as ClosedRange<UInt64> { write(number, to: recorder) }
        #expect(records(recorder).map(\.startedNs) == [11, 10, 9, 8])
        #expect(records(recorder).map(\.path) == ["/11", "/10", "/9", "/8"])
    }

    @Test func whatDidNotHappenIsNil() throws {
        let recorder = FlightRecorder(capacity: 1)
        write(9, to: recorder)
        let record = try #require(records(recorder).first)
        #expect(record.requestEndedNs == nil)
        #expect(record.upstreamHeadNs == 5)
        #expect(record.details == "")
        #expect(record.id == "")
    }

    @Test func factsSurviveTheirWord() {
        var facts = RecordFacts()
        facts.status = 503
        facts.flag = .upstreamConnectionFailure
        facts.method = .patch
        facts.version = .http2
        facts.failure = .connectRefused
        facts.tries = 3
        facts.isLocal = true
        facts.isTunnel = true
        let read = RecordFacts(word: facts.word)
        #expect(read.status == 503 && read.flag == .upstreamConnectionFailure && read.method == .patch)
        #expect(read.version == .http2 && read.failure == .connectRefused && read.tries == 3)
        #expect(read.isLocal && !read.responseStarted && read.isTunnel)
    }

    @Test func textsOfEveryLengthAreCutToTheirRoom() throws {
        let recorder = FlightRecorder(capacity: 1)
        for count in 0...120 {
            let text = String((0..<count).map { Character(UnicodeScalar(UInt8(97 + $0 % 26))) })
            recorder.write { writer in
                let length = ByteSlice.withBytes(of: text) { writer.set(.path, $0) }
                writer.set(.lengths, length << 40)
            }
            #expect(try #require(records(recorder).first).path == text.prefix(96))
        }
    }

    @Test func aReaderBesideTheWriterSeesWholeRecordsOnly() async {
        let recorder = FlightRecorder(capacity: 8)
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                for number in 1...200_000 as ClosedRange<UInt64> { self.write(number, to: recorder) }
            }
            for _ in 0..<200 {
                recorder.read { record in
                    #expect(record.durationNs == record.startedNs &* 3)
                    #expect(record.bytesSent == record.startedNs &* 7)
                    #expect(record.path == "/\(record.startedNs)")
                }
            }
        }
        #expect(records(recorder).count == 8)
    }
}
