internal import CNghttp2
internal import HTTP

/// The state of a session, at an address that stays: the library's callbacks reach it while a call into the library is
/// under way. So nothing here calls the library in a way that calls back; `HTTP2Session` does.
@safe
struct HTTP2SessionCore: ~Copyable {
    let isServer: Bool
    let settings: HTTP2Settings
    /// Set once, right after this was made; the library keeps our address.
    var library: OpaquePointer?
    var streams = HTTP2StreamTable()
    /// The header block that is being received, or was just completed.
    var block = HTTP2FieldBlock()
    var blockSlot: UInt32?
    /// Shared with the other sessions of the worker.
    private let workspace: HTTP2Output
    /// nil without address space, and when the library has forgotten the session.
    private var pages: HTTP2SessionPages?
    var trailers: [HTTP2PendingTrailers] = []
    var freeTrailers: [Int32] = []

    private var events: [HTTP2Event] = []
    private var eventsTaken = 0
    /// The bytes that the library reads.
    private var input: UnsafeRawPointer?
    private var walker: HTTP2FrameWalker
    private var continuations = 0
    private(set) var nowNs: UInt64 = 0
    var windows: HTTP2WindowTuner
    /// Streams whose priority came before they did, in PRIORITY_UPDATE. The newest ones, oldest first.
    private var earlyPriorities: [Int32] = []
    private static let earlyPrioritiesMax = 16
    private var meters = Meters()
    /// Where the library's frames go, while it writes.
    var output: Unmanaged<HTTP2Output>?
    var outputBodyMax = 0
    /// Why the session cannot go on.
    private(set) var failure: HTTP2Failure?
    /// Streams refused because as many are open as may be.
    private(set) var streamsRefused: UInt64 = 0
    private(set) var goAwayReceived = false
    /// The last stream that the peer has taken, once it has sent GOAWAY.
    private(set) var lastStreamTaken: Int32 = 0

    private struct Meters {
        var resets = HTTP2RateMeter()
        var settings = HTTP2RateMeter()
        var pings = HTTP2RateMeter()
        var priorities = HTTP2RateMeter()
        var emptyData = HTTP2RateMeter()
        var windowUpdates = HTTP2RateMeter()
        var unknownFrames = HTTP2RateMeter()
    }

    /// What may wait to be sent of one stream before its source is told to stop, and when it is to go on.
    static let highMarkBytes = 128 * 1024
    static let lowMarkBytes = 32 * 1024

    init(isServer: Bool, settings: HTTP2Settings, workspace: HTTP2Output) {
        self.isServer = isServer
        self.settings = settings
        self.workspace = workspace
        walker = HTTP2FrameWalker(expectsPreface: isServer)
        windows = HTTP2WindowTuner(
            streamWindow: Int(settings.streamWindowBytes), growthMax: Int(settings.windowGrowthBytes))
        pages = unsafe workspace.memory.pointee.pages.take()
    }

    /// A slot as the library carries it for us: zero means none.
    @unsafe static func userData(_ slot: UInt32) -> UnsafeMutableRawPointer? {
        unsafe UnsafeMutableRawPointer(bitPattern: UInt(slot) + 1)
    }

    @unsafe static func slot(_ userData: UnsafeMutableRawPointer?) -> UInt32? {
        unsafe userData.map { UInt32(UInt(bitPattern: $0) - 1) }
    }

    func slot(ofStream id: Int32) -> UInt32? {
        unsafe Self.slot(nghttp2_session_get_stream_user_data(library, id))
    }

    /// The fields of the block that is about to be submitted.
    var list: HTTP2FieldList {
        unsafeAddress { unsafe UnsafePointer(workspace.list) }
        nonmutating unsafeMutableAddress { unsafe workspace.list }
    }

    // MARK: Memory of the library

    @unsafe
    mutating func allocate(_ count: Int) -> UnsafeMutableRawPointer? {
        // What is large and made with the session stays as long as it does.
        if count > HTTP2Memory.smallMax, unsafe library == nil {
            if let buffer = unsafe pages?.takeBuffer(count) { return unsafe buffer }
            if let block = unsafe pages?.takeFirm(count) { return unsafe block }
        }
        return unsafe workspace.memory.pointee.allocate(count)
    }

    @unsafe
    mutating func allocateZeroed(_ count: Int, _ size: Int) -> UnsafeMutableRawPointer? {
        let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
        guard !overflow else { return nil }
        if unsafe library == nil, let table = unsafe pages?.takeTable(bytes) { return unsafe table }
        guard let block = unsafe allocate(bytes) else { return nil }
        unsafe block.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        return unsafe block
    }

    @unsafe
    mutating func reallocate(_ old: UnsafeMutableRawPointer?, _ count: Int) -> UnsafeMutableRawPointer? {
        guard let old = unsafe old else { return unsafe allocate(count) }
        let readable = unsafe pages?.readable(from: old)
        let room = unsafe readable ?? HTTP2Memory.room(of: old)
        if readable == nil, count <= room { return unsafe old }
        guard let block = unsafe allocate(count) else { return nil }
        unsafe block.copyMemory(from: old, byteCount: min(room, count))
        unsafe release(old)
        return unsafe block
    }

    @unsafe
    mutating func release(_ block: UnsafeMutableRawPointer) {
        let isInPages = unsafe pages?.release(block) ?? false
        if !isInPages { unsafe workspace.memory.pointee.release(block) }
    }

    /// The library has forgotten the session.
    mutating func releasePages() {
        guard let pages = pages.take() else { return }
        unsafe workspace.memory.pointee.pages.giveBack(pages)
    }

    /// The library's memory is not there: `wake` comes before the next call of it.
    private(set) var isResting = false

    mutating func wake() {
        pages?.wake()
        isResting = false
    }

    /// Gives back what only a session with streams needs, and what the library does until it is called again.
    mutating func rest() {
        guard streams.inUse == 0, blockSlot == nil, eventsTaken == events.count else { return }
        streams = HTTP2StreamTable()
        block.rest()
        trailers = []
        freeTrailers = []
        events = []
        eventsTaken = 0
        pages?.rest()
        isResting = pages?.isResting ?? false
    }

    // MARK: Events

    mutating func emit(_ event: HTTP2Event) { events.append(event) }

    mutating func takeEvent() -> HTTP2Event? {
        guard eventsTaken < events.count else {
            if eventsTaken > 0 {
                events.removeAll(keepingCapacity: events.count <= 64)
                eventsTaken = 0
            }
            return nil
        }
        defer { eventsTaken += 1 }
        return events[eventsTaken]
    }

    mutating func fail(_ failure: HTTP2Failure) {
        if self.failure == nil { self.failure = failure }
    }

    // MARK: Receiving

    /// Prepares for the library to read the first chunk of `bytes`. Answers its length; nil when it must not be read.
    mutating func beginChunk(_ bytes: ByteSlice, nowNs: UInt64) -> Int? {
        self.nowNs = nowNs
        let chunk = walker.next(bytes)
        if let head = chunk.head, let abuse = abuse(in: head) {
            fail(.abuse(abuse))
            return nil
        }
        unsafe input = bytes.baseAddress
        return chunk.length
    }

    private mutating func abuse(in head: HTTP2FrameWalker.Head) -> HTTP2Abuse? {
        let floods = settings.floods
        let isAcknowledgement = head.flags & 1 != 0
        switch head.type {
        case 0, 1, 5, 7:
            // DATA, HEADERS, PUSH_PROMISE, GOAWAY: judged by what they do.
            continuations = 0
            return nil
        case 2, 16: return meters.priorities.take(floods.priorities, nowNs: nowNs) ? nil : .priorityFlood
        case 3: return meters.resets.take(floods.resets, nowNs: nowNs) ? nil : .rapidReset
        case 4:
            return isAcknowledgement || meters.settings.take(floods.settings, nowNs: nowNs) ? nil : .settingsFlood
        case 6: return isAcknowledgement || meters.pings.take(floods.pings, nowNs: nowNs) ? nil : .pingFlood
        case 8: return meters.windowUpdates.take(floods.windowUpdates, nowNs: nowNs) ? nil : .windowUpdateFlood
        case 9:
            continuations += 1
            return continuations <= floods.continuationsMax ? nil : .continuationFlood
        default: return meters.unknownFrames.take(floods.unknownFrames, nowNs: nowNs) ? nil : .unknownFrameFlood
        }
    }

    /// A stream ended with an error that the peer made.
    mutating func countReset() {
        if !meters.resets.take(settings.floods.resets, nowNs: nowNs) { fail(.abuse(.rapidReset)) }
    }

    // MARK: From the library, receiving

    /// A header block begins. False when there is nowhere to keep its stream.
    mutating func headersBegan(_ frame: UnsafePointer<nghttp2_frame>) -> Bool {
        let id = unsafe frame.pointee.hd.stream_id
        if unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
            let slot = streams.take(id: id)
            unsafe nghttp2_session_set_stream_user_data(library, id, Self.userData(slot))
            blockSlot = slot
        } else {
            blockSlot = slot(ofStream: id)
        }
        let isTrailers = blockSlot.map { streams[$0].flags.contains(.headReceived) } ?? false
        let limits = settings.limits
        block.begin(
            bytesMax: isTrailers ? limits.trailerBytesMax : limits.headerBytesMax, fieldsMax: limits.headersMax)
        return blockSlot != nil
    }

    /// False when the block says too much.
    mutating func headerReceived(_ name: ByteSlice, _ value: ByteSlice, isNeverIndexed: Bool) -> Bool {
        block.add(name, value, neverIndexed: isNeverIndexed)
        if block.listBytes > settings.limits.headerBytesMax * 4 + 65_536 {
            fail(.abuse(.headerBomb))
            return false
        }
        return true
    }

    mutating func frameReceived(_ frame: UnsafePointer<nghttp2_frame>) {
        let head = unsafe frame.pointee.hd
        let endsStream = UInt32(head.flags) & NGHTTP2_FLAG_END_STREAM.rawValue != 0
        let isAcknowledgement = UInt32(head.flags) & NGHTTP2_FLAG_ACK.rawValue != 0
        switch UInt32(head.type) {
        case NGHTTP2_DATA.rawValue:
            guard let slot = slot(ofStream: head.stream_id) else { return }
            if endsStream {
                endReceived(slot)
            } else if unsafe head.length == frame.pointee.data.padlen,
                !meters.emptyData.take(settings.floods.emptyData, nowNs: nowNs)
            {
                fail(.abuse(.emptyDataFlood))
            }
        case NGHTTP2_HEADERS.rawValue:
            guard let slot = blockSlot else { return }
            blockReceived(slot, endsStream: endsStream)
        case NGHTTP2_SETTINGS.rawValue: if !isAcknowledgement { emit(.settings) }
        case NGHTTP2_PING.rawValue:
            // An answer to what we never asked means nothing.
            if isAcknowledgement, let ping = HTTP2Ping(rawValue: unsafe frame.pointee.ping.opaque_data.0) {
                emit(.pong(ping))
            }
        case NGHTTP2_PRIORITY_UPDATE.rawValue: unsafe priorityUpdated(frame)
        case NGHTTP2_GOAWAY.rawValue:
            goAwayReceived = true
            lastStreamTaken = unsafe frame.pointee.goaway.last_stream_id
            emit(.goAway(HTTP2ErrorCode(rawValue: unsafe frame.pointee.goaway.error_code)))
        default: break
        }
    }

    private mutating func priorityUpdated(_ frame: UnsafePointer<nghttp2_frame>) {
        guard let update = unsafe frame.pointee.ext.payload else { return }
        let id = unsafe update.assumingMemoryBound(to: nghttp2_ext_priority_update.self).pointee.stream_id
        guard slot(ofStream: id) == nil, !earlyPriorities.contains(id) else { return }
        if earlyPriorities.count == Self.earlyPrioritiesMax { earlyPriorities.removeFirst() }
        earlyPriorities.append(id)
    }

    /// Whether the stream's priority is known from PRIORITY_UPDATE, which counts more than the request's own field
    /// (RFC 9218 §7).
    mutating func takeEarlyPriority(_ slot: UInt32) -> Bool {
        guard !earlyPriorities.isEmpty, let index = earlyPriorities.firstIndex(of: streams[slot].id) else {
            return false
        }
        earlyPriorities.remove(at: index)
        return true
    }

    private mutating func blockReceived(_ slot: UInt32, endsStream: Bool) {
        blockSlot = nil
        let stream = HTTP2Stream(slot: slot)
        if streams[slot].flags.contains(.headReceived) {
            // RFC 9113 §8.1: a second head is trailers, and ends the message.
            guard endsStream else { return emit(.malformed(stream, .misplacedFrame)) }
            if !block.isEmpty { emit(.trailers(stream)) }
            endReceived(slot)
            return
        }
        let isInformational = !isServer && block.isInformational
        if !isInformational { streams[slot].flags.insert(.headReceived) }
        emit(.head(stream, endsStream: endsStream))
        if endsStream { endReceived(slot) }
    }

    private mutating func endReceived(_ slot: UInt32) {
        streams[slot].flags.insert(.endReceived)
        emit(.end(HTTP2Stream(slot: slot)))
    }

    mutating func dataReceived(_ id: Int32, _ data: UnsafePointer<UInt8>, _ length: Int) {
        guard let slot = slot(ofStream: id), let input = unsafe input else { return }
        let offset = unsafe UnsafeRawPointer(data) - input
        emit(.body(HTTP2Stream(slot: slot), offset: offset, length: length))
    }

    mutating func streamClosed(_ id: Int32, _ code: UInt32) {
        guard let slot = slot(ofStream: id) else { return }
        close(slot, HTTP2ErrorCode(rawValue: code))
    }

    mutating func close(_ slot: UInt32, _ code: HTTP2ErrorCode) {
        guard !streams[slot].flags.contains(.isClosed) else { return }
        streams[slot].flags.insert(.isClosed)
        if code == .noError { meters.resets.give(1, settings.floods.resets) }
        emit(.closed(HTTP2Stream(slot: slot), code))
    }

    // MARK: From the library, sending

    /// How much of a body there is to send.
    enum Supply {
        /// Nothing now.
        case none
        /// So many bytes; behind them the body goes on.
        case some(Int)
        /// So many bytes, and then the end, with these trailers before it.
        case last(Int, trailers: Int32)
    }

    mutating func supply(_ slot: UInt32, max: Int) -> Supply {
        let count = min(streams[slot].queuedBytes, max)
        if count == streams[slot].queuedBytes, streams[slot].flags.contains(.endQueued) {
            return .last(count, trailers: streams[slot].trailers)
        }
        if count == 0 {
            streams[slot].flags.insert(.isDeferred)
            return .none
        }
        return .some(count)
    }

    /// False when enough was written for now.
    mutating func sendData(_ slot: UInt32, frameHead: UnsafePointer<UInt8>, length: Int) -> Bool {
        guard let output = unsafe output?.takeUnretainedValue() else { return false }
        guard output.bodyBytes < outputBodyMax else { return false }
        unsafe output.append(frameHead, 9)
        if length > 0 { output.append(bodyOf: HTTP2Stream(slot: slot), length) }
        streams[slot].queuedBytes -= length
        if streams[slot].flags.contains(.isAboveHighMark), streams[slot].queuedBytes <= Self.lowMarkBytes {
            streams[slot].flags.remove(.isAboveHighMark)
            emit(.drained(HTTP2Stream(slot: slot)))
        }
        // A peer that gets data has a reason to open its windows.
        meters.windowUpdates.give(10, settings.floods.windowUpdates)
        meters.pings.give(1, settings.floods.pings)
        return true
    }

    /// Answers a stream that is to be ended because the peer goes on with a request that was answered.
    mutating func frameSent(_ frame: UnsafePointer<nghttp2_frame>) -> Int32? {
        let head = unsafe frame.pointee.hd
        switch UInt32(head.type) {
        case NGHTTP2_GOAWAY.rawValue:
            let code = unsafe HTTP2ErrorCode(rawValue: frame.pointee.goaway.error_code)
            if code != .noError { fail(.protocolError(code)) }
        case NGHTTP2_RST_STREAM.rawValue:
            guard let slot = slot(ofStream: head.stream_id) else {
                if unsafe frame.pointee.rst_stream.error_code == NGHTTP2_REFUSED_STREAM.rawValue { streamsRefused += 1 }
                countReset()
                return nil
            }
            // The library's own judgement of what the peer did.
            if !streams[slot].flags.contains(.isReset) { countReset() }
        case NGHTTP2_DATA.rawValue, NGHTTP2_HEADERS.rawValue:
            guard isServer, UInt32(head.flags) & NGHTTP2_FLAG_END_STREAM.rawValue != 0,
                let slot = slot(ofStream: head.stream_id),
                streams[slot].flags.isDisjoint(with: [.endReceived, .isReset])
            else { return nil }
            streams[slot].flags.insert(.isReset)
            return head.stream_id
        default: break
        }
        return nil
    }

    /// A request that the peer does not take any more was not sent.
    mutating func frameNotSent(_ frame: UnsafePointer<nghttp2_frame>) {
        guard unsafe UInt32(frame.pointee.hd.type) == NGHTTP2_HEADERS.rawValue,
            unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
        else { return }
        let id = unsafe frame.pointee.hd.stream_id
        for slot in 0..<UInt32(streams.slots) where streams[slot].flags.contains(.isUsed) && streams[slot].id == id {
            close(slot, .refusedStream)
        }
    }

    // MARK: Trailers that wait

    mutating func keepTrailers(_ table: borrowing HeaderTable, for slot: UInt32) {
        let index: Int32
        if let free = freeTrailers.popLast() {
            index = free
        } else {
            index = Int32(trailers.count)
            trailers.append(HTTP2PendingTrailers())
        }
        trailers[Int(index)].take(table)
        if trailers[Int(index)].isEmpty {
            freeTrailers.append(index)
        } else {
            streams[slot].trailers = index
        }
    }

    mutating func listTrailers(of slot: UInt32) {
        let pending = trailers[Int(streams[slot].trailers)]
        list.begin(textBytes: 0)
        pending.forEach { list.append($0) }
    }

    mutating func dropTrailers(of slot: UInt32) {
        guard streams[slot].trailers >= 0 else { return }
        freeTrailers.append(streams[slot].trailers)
        streams[slot].trailers = -1
    }
}
