import Foundation
import Simulation

/// A message as the far ends of a simulation read it: strictly, and with chunks joined.
struct HTTPText: Equatable {
    var start: String
    /// Names in lower case.
    var fields: [String: String] = [:]
    var body = ""
    /// The body says where it ends, and it has not ended.
    var isUnfinished = false

    var status: Int { Int(start.split(separator: " ").dropFirst().first ?? "") ?? 0 }
    var target: String { String(start.split(separator: " ").dropFirst().first ?? "") }
    var method: String { String(start.prefix { $0 != " " }) }

    /// Reads the message at the front of `bytes`.
    ///
    /// - Parameters:
    ///   - isBodiless: the answer to HEAD
    ///   - hasEnded: nothing will follow
    /// - Returns: the message, unfinished perhaps, and its length; nil as long as its head is not complete
    static func read(_ bytes: [UInt8], isBodiless: Bool = false, hasEnded: Bool) -> (message: HTTPText, length: Int)? {
        guard let headEnd = bytes.firstRange(of: Array("\r\n\r\n".utf8))?.lowerBound else { return nil }
        let lines = String(decoding: bytes[..<headEnd], as: UTF8.self).components(separatedBy: "\r\n")
        var message = HTTPText(start: lines[0])
        for line in lines.dropFirst() {
            guard let colon = line.firstRange(of: ": ") else { continue }
            message.fields[line[..<colon.lowerBound].lowercased()] = String(line[colon.upperBound...])
        }
        let rest = bytes[(headEnd + 4)...]
        let isResponse = message.start.hasPrefix("HTTP/")
        if isBodiless || isResponse && (message.status < 200 || [204, 304].contains(message.status)) {
            return (message, headEnd + 4)
        }
        if message.fields["transfer-encoding"] == "chunked" {
            let end = message.readChunks(rest)
            return (message, end)
        }
        let length = message.fields["content-length"].flatMap { Int($0) } ?? (isResponse ? Int.max : 0)
        let body = rest.prefix(length)
        message.body = String(decoding: body, as: UTF8.self)
        message.isUnfinished = length == Int.max ? !hasEnded : body.count < length
        return (message, body.endIndex)
    }

    private mutating func readChunks(_ bytes: ArraySlice<UInt8>) -> Int {
        var rest = bytes
        isUnfinished = true
        while let lineEnd = rest.firstRange(of: [13, 10]) {
            guard let size = Int(String(decoding: rest[..<lineEnd.lowerBound], as: UTF8.self), radix: 16) else { break }
            let data = rest[lineEnd.upperBound...].prefix(size)
            body += String(decoding: data, as: UTF8.self)
            guard rest.endIndex - data.endIndex >= 2 else { break }
            rest = rest[(data.endIndex + 2)...]
            if size == 0 {
                isUnfinished = false
                break
            }
        }
        return rest.startIndex
    }
}

/// A client that says everything at once, or as slowly as its plan, and collects answers.
final class HTTPClient: SimulatedDialogue {
    let peer: SimulatedPeer
    /// Final answers; the last may be unfinished once the connection is over.
    private(set) var answers: [HTTPText] = []
    private(set) var informational: [Int] = []
    /// Of the requests, so that answers to HEAD are read rightly.
    private let isHead: [Bool]

    init(_ text: String, on peer: SimulatedPeer) {
        self.peer = peer
        // A body may stand in front of the method.
        isHead = text.components(separatedBy: " HTTP/1.1\r\n").dropLast().map { part in
            part.components(separatedBy: "\r\n").last?.prefix { $0 != " " }.hasSuffix("HEAD") ?? false
        }
        super.init(text)
    }

    override func heard() { read(hasEnded: false) }
    override func hearEnd() { read(hasEnded: true) }

    private func read(hasEnded: Bool) {
        while let (message, length) = HTTPText.read(
            input, isBodiless: answers.count < isHead.count && isHead[answers.count], hasEnded: hasEnded)
        {
            if message.isUnfinished { break }
            forget(length)
            if message.status < 200 { informational.append(message.status) } else { answers.append(message) }
        }
    }

    /// What came of an answer that is not complete; nil if nothing did.
    var unfinished: HTTPText? {
        input.isEmpty ? nil : HTTPText.read(input, hasEnded: false)?.message ?? HTTPText(start: "", isUnfinished: true)
    }

    var statuses: [Int] { answers.map(\.status) }
    var isOver: Bool { peer.sawEnd || peer.sawReset }
}

/// An endpoint. Unless it plays something else, it answers each complete request with `HTTPServer.answer(to:)`.
final class HTTPServer: SimulatedDialogue {
    unowned let peer: SimulatedPeer
    private(set) var requests: [HTTPText] = []
    private let play: ((HTTPServer, HTTPText) -> Void)?
    /// Called with the head of each request, before its body is there. True when that was the answer.
    var onHead: ((HTTPServer, HTTPText) -> Bool)?
    private var hasAnsweredHead = false

    init(on peer: SimulatedPeer, play: ((HTTPServer, HTTPText) -> Void)? = nil) {
        self.peer = peer
        self.play = play
        super.init()
    }

    override func heard() {
        while let (request, length) = HTTPText.read(input, hasEnded: false) {
            if !hasAnsweredHead, let onHead, onHead(self, request) { hasAnsweredHead = true }
            if request.isUnfinished { return }
            forget(length)
            requests.append(request)
            if hasAnsweredHead {
                hasAnsweredHead = false
            } else if let play {
                play(self, request)
            } else {
                answer(request)
            }
        }
    }

    /// What of a request has come that is not complete.
    var unfinished: HTTPText? { HTTPText.read(input, hasEnded: false)?.message }

    func answer(_ request: HTTPText, fields: String = "") {
        let body = Self.body(for: request)
        say("HTTP/1.1 200 OK\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n")
        if request.method != "HEAD" { say(body) }
    }

    func answerInChunks(_ request: HTTPText) {
        say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        if request.method == "HEAD" { return }
        var rest = Self.body(for: request)[...]
        var size = 1
        while !rest.isEmpty {
            let piece = rest.prefix(size)
            say("\(String(piece.utf8.count, radix: 16))\r\n\(piece)\r\n")
            rest = rest.dropFirst(size)
            size = size * 3 % 1000 + 1
        }
        say("0\r\n\r\n")
    }

    /// Says `text`, and ends the connection behind it.
    func say(_ text: String, then ending: SimulatedPeer.Plan.Ending?) {
        say(text)
        if let ending {
            peer.plan.endsAfterSent = output.count
            peer.plan.ending = ending
        } else {
            peer.plan.finish = .afterSending
        }
    }

    /// Tells whose answer it is and what was received, and is of a length of its own.
    static func body(for request: HTTPText) -> String {
        let sum = (request.target + request.body).utf8.reduce(UInt32(7)) { $0 &* 31 &+ UInt32($1) }
        return "\(request.target)|\(request.body.utf8.count)|\(sum)|" + String(repeating: "x", count: Int(sum % 1500))
    }
}

extension String {
    /// Its first bytes: to a string CRLF is one character.
    func firstBytes(_ count: Int) -> String { String(decoding: utf8.prefix(count), as: UTF8.self) }
}

/// A request as clients write it.
func httpRequest(
    _ target: String, method: String = "GET", body: String? = nil, chunked: Bool = false, _ fields: String = ""
)
    -> String
{
    let head = "\(method) \(target) HTTP/1.1\r\nHost: a\r\n\(fields)"
    guard let body else { return head + "\r\n" }
    if !chunked { return head + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)" }
    let data = body.isEmpty ? "" : "\(String(body.utf8.count, radix: 16))\r\n\(body)\r\n"
    return head + "Transfer-Encoding: chunked\r\n\r\n\(data)0\r\n\r\n"
}
