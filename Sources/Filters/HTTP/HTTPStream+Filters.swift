public import Engine
public import HTTP

/// What filters see of an exchange, and what they can ask for.
extension HTTPStream {
    /// The head of the request, as received and as changed by filters since.
    public var request: RequestHead {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(requestHead.address) }
        @inline(__always) unsafeMutableAddress { unsafe requestHead.address }
    }

    /// Why this proxy answered by itself, or what went wrong.
    public internal(set) var flag: ResponseFlag {
        get { hot.value.flag }
        set { hot.value.flag = newValue }
    }

    /// All of the request has arrived, body and all.
    public var requestEnded: Bool { hot.value.requestEnded }

    /// The response is one of this proxy: it did not come from an endpoint.
    public var isLocalResponse: Bool { hot.value.isLocalResponse }

    /// The client's connection; nil when the exchange is over.
    public var connection: Connection? { codec?.connection }

    /// One word per filter of the chain for this request, at the filter's place in the configuration.
    public var filterState: FilterWords {
        get { FilterWords(stream: self) }
        set {}
    }

    public struct FilterWords {
        fileprivate let stream: HTTPStream

        public subscript(index: Int) -> UInt64 {
            get { stream.filterWords[index] }
            nonmutating set { stream.filterWords[index] = newValue }
        }
    }

    /// Names this exchange beyond its end.
    public struct Ticket {
        private let stream: HTTPStream
        private let use: UInt64

        fileprivate init(_ stream: HTTPStream) {
            self.stream = stream
            use = stream.hot.value.use
        }

        /// The exchange, unless it is over.
        public var current: HTTPStream? { stream.isCurrent(use) ? stream : nil }
    }

    public var ticket: Ticket { Ticket(self) }

    /// Names this exchange to another thread, which is how an answer comes back from there.
    public struct RemoteTicket: @unchecked Sendable {
        // The stream in it is looked at on its worker only.
        private let ticket: Ticket
        private let mailbox: Mailbox

        fileprivate init(_ ticket: Ticket, _ mailbox: Mailbox) {
            self.ticket = ticket
            self.mailbox = mailbox
        }

        /// Runs `body` on the exchange's worker, unless the exchange is over by then. Nothing bounds how many wait
        /// there: send one for each thing that was asked.
        public func send(_ body: @escaping @Sendable (HTTPStream) -> Void) {
            mailbox.send { [self] _ in
                if let stream = ticket.current { body(stream) }
            }
        }
    }

    public var remoteTicket: RemoteTicket {
        guard let mailbox = worker.mailbox else { preconditionFailure("a worker has a mailbox") }
        return RemoteTicket(ticket, mailbox)
    }

    /// Calls `filter.onTimer` in `ns` nanoseconds, unless the exchange is over by then. A filter has one timer in a
    /// stream; starting it again sets it anew.
    public func startTimer(for filter: HTTPFilter, afterNs ns: UInt64) {
        if filterTimers.isEmpty { filterTimers = Array(repeating: .none, count: filterWords.count) }
        worker.cancel(filterTimers[filter.index])
        let tag = StreamTimer.filter.rawValue + filter.index
        filterTimers[filter.index] = worker.schedule(self, tag: tag, afterNs: ns)
    }

    func cancelFilterTimers() {
        for index in filterTimers.indices { worker.cancel(filterTimers[index]) }
        filterTimers.removeAll(keepingCapacity: true)
    }

    public func cancelTimer(for filter: HTTPFilter) {
        guard !filterTimers.isEmpty else { return }
        worker.cancel(filterTimers[filter.index])
        filterTimers[filter.index] = .none
    }

    /// A request of a filter's own about this exchange, empty. A filter has one in a stream: asking for it anew gives
    /// up the one that is under way.
    public func subrequest(for filter: HTTPFilter) -> HTTPSubrequest {
        if subrequests.isEmpty { subrequests = Array(repeating: nil, count: filterWords.count) }
        let subrequest = subrequests[filter.index] ?? HTTPSubrequest(stream: self, filterIndex: filter.index)
        subrequests[filter.index] = subrequest
        subrequest.reset()
        return subrequest
    }

    func subrequestEnded(_ subrequest: HTTPSubrequest, _ index: Int, _ outcome: HTTPSubrequest.Outcome) {
        guard !hot.value.isEnded else { return }
        hot.value.filters[index].onSubrequestEnd(self, subrequest, outcome)
    }

    @inline(__always)
    func cancelSubrequests() {
        if subrequests.isEmpty { return }
        for subrequest in subrequests { subrequest?.cancel() }
    }

    /// Exchanges a piece of a body for a copy of `bytes`.
    public func replace(_ data: inout Lease, with bytes: RawSpan) {
        var old = worker.copy(bytes)
        swap(&old, &data)
        worker.discard(old)
    }

    /// Leaves a word for access logs, where `%DYNAMIC_METADATA(NAMESPACE:KEY)%` finds it. It replaces an earlier one of
    /// the same name. All notes of an exchange have 4 KiB and 32 entries together: what goes beyond is cut or left out.
    ///
    /// - Parameter name: `namespace:key`, where the namespace is the filter's name
    public func setMetadata(_ name: StaticString, _ value: ByteSlice) {
        takeNotes().set(.metadata, .other(ByteSlice(name)), value)
    }

    // MARK: Notes for logs

    /// Those of this exchange; nil when there are none.
    var notes: StreamNotes? { hot.value.info.hasNotes ? ownNotes : nil }

    func takeNotes() -> StreamNotes {
        let notes = ownNotes ?? StreamNotes()
        if ownNotes == nil { ownNotes = notes }
        if !hot.value.info.hasNotes { notes.removeAll() }
        hot.value.info.hasNotes = true
        return notes
    }

    /// Makes the addresses of the client's connection known to operators.
    func askForAddresses() { withCodec { $0.manager.askForAddresses() } }
}
