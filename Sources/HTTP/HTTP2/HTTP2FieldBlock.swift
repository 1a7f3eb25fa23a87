/// The fields of one header block (RFC 9113 §8.2) as they are decompressed: collected, checked, and then made the head
/// of a request or response, or trailers.
///
/// Field lines are kept as HTTP/1.1 writes them, so that a message that goes on in HTTP/1.1 is copied in one piece, and
/// nothing that would read differently there ever gets in: names are lower-case tokens, values hold no control bytes.
///
/// A peer decides how much a block says, so it is stored up to the limits only. What comes behind is counted
/// (`listBytes`), because the compression context has to be kept in step, until the session ends the connection.
@safe
package struct HTTP2FieldBlock: ~Copyable {
    private var start: UnsafeMutableRawPointer?
    private var capacity = 0
    private var count = 0
    private(set) var entries = HeaderEntryStorage(capacity: 8)
    private(set) var fields = HTTP1FramingFields()
    private var seen: PseudoHeaders = []
    private(set) var method = TextRange()
    private(set) var scheme = TextRange()
    private(set) var authority = TextRange()
    private(set) var path = TextRange()
    private(set) var connectProtocol = TextRange()
    private(set) var status = TextRange()
    private(set) var hasCookies = false
    private var bytesMax = 0
    private var fieldsMax = 0

    /// The first thing that is wrong with the block.
    package private(set) var error: HTTPMessageError?
    /// Bytes of all names and values, whether stored or not, with 32 for each field (RFC 9113 §6.5.2).
    package private(set) var listBytes = 0

    /// What each block has in front, for names to be loaded from behind.
    private static let bytesBefore = HTTP1FieldSection.bytesBefore
    /// More memory is given back when the next block begins.
    private static let capacityKept = 8_192

    package init() {}

    deinit { unsafe start?.deallocate() }

    /// Gives back the memory of the block before, of which nothing is needed any more.
    package mutating func rest() {
        unsafe start?.deallocate()
        unsafe start = nil
        capacity = 0
        count = 0
        entries = HeaderEntryStorage(capacity: 1)
    }

    /// Which pseudo-header fields have come.
    struct PseudoHeaders: OptionSet {
        let rawValue: UInt8
        static let method = PseudoHeaders(rawValue: 1)
        static let scheme = PseudoHeaders(rawValue: 2)
        static let authority = PseudoHeaders(rawValue: 4)
        static let path = PseudoHeaders(rawValue: 8)
        static let connectProtocol = PseudoHeaders(rawValue: 16)
        static let status = PseudoHeaders(rawValue: 32)

        init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The one that `name` spells; empty when none does.
        init(_ name: ByteSlice) {
            let candidate: (name: StaticString, field: PseudoHeaders)
            switch name.count {
            case 5: candidate = (":path", .path)
            case 7 where name[1] == UInt8(ascii: "m"): candidate = (":method", .method)
            case 7 where name[2] == UInt8(ascii: "c"): candidate = (":scheme", .scheme)
            case 7: candidate = (":status", .status)
            case 9: candidate = (":protocol", .connectProtocol)
            case 10: candidate = (":authority", .authority)
            default: candidate = ("", [])
            }
            self = name == candidate.name ? candidate.field : []
        }
    }

    var pseudoHeaders: PseudoHeaders { seen }

    /// No field has come.
    package var isEmpty: Bool { listBytes == 0 }

    /// A response's status is 1xx.
    package var isInformational: Bool { seen.contains(.status) && text(status).first == UInt8(ascii: "1") }

    /// Forgets the block before.
    ///
    /// - Parameters:
    ///   - bytesMax: bytes to store at most, as HTTP/1.1 would write them
    ///   - fieldsMax: fields to store at most
    package mutating func begin(bytesMax: Int, fieldsMax: Int) {
        if capacity > Self.capacityKept {
            unsafe start?.deallocate()
            unsafe start = nil
            capacity = 0
        }
        self.bytesMax = bytesMax
        self.fieldsMax = fieldsMax
        count = 0
        entries.removeAll()
        fields = HTTP1FramingFields()
        seen = []
        hasCookies = false
        error = nil
        listBytes = 0
    }

    /// Takes the next field.
    ///
    /// - Parameter neverIndexed: the peer wants it kept out of every compression context.
    package mutating func add(_ name: ByteSlice, _ value: ByteSlice, neverIndexed: Bool) {
        listBytes += name.count + value.count + 32
        guard error == nil else { return }
        guard count + name.count + value.count + 4 <= bytesMax else {
            error = .headersTooLarge
            return
        }
        guard Self.isFieldValue(value) else {
            error = .controlByte
            return
        }
        if name.first == UInt8(ascii: ":") {
            error = addPseudoHeader(name, value)
        } else {
            error = addField(name, value, neverIndexed)
        }
    }

    private mutating func addPseudoHeader(_ name: ByteSlice, _ value: ByteSlice) -> HTTPMessageError? {
        guard entries.count == 0 else { return .latePseudoHeader }
        let pseudoHeader = PseudoHeaders(name)
        let range = write(value)
        switch pseudoHeader {
        case .method: method = range
        case .path: path = range
        case .scheme: scheme = range
        case .authority: authority = range
        case .status: status = range
        case .connectProtocol: connectProtocol = range
        default: return .invalidPseudoHeader
        }
        return seen.insert(pseudoHeader).inserted ? nil : .invalidPseudoHeader
    }

    private mutating func addField(_ name: ByteSlice, _ value: ByteSlice, _ neverIndexed: Bool) -> HTTPMessageError? {
        if let first = value.first, ASCII.isBlank(first) || ASCII.isBlank(value[value.count - 1]) {
            return .spaceAroundValue
        }
        let nameRange = write(name, value)
        let all = text
        let colon = Int(nameRange.location) + name.count
        let known = HeaderNameIndex.shared.find(in: all, from: Int(nameRange.location), to: colon)
        if let header = HeaderName(rawValue: known) {
            guard name == header.bytes else { return .uppercaseName }
            if header == .cookie, joinCookie(value, behind: nameRange) { return nil }
        } else if let error = Self.nameError(name) {
            return error
        }
        guard entries.count < fieldsMax else { return .tooManyHeaders }
        entries.append(
            HeaderEntry(
                name: nameRange.location, value: UInt32(colon + 2), valueLength: UInt32(value.count),
                nameLength: UInt16(name.count), knownName: known,
                flags: neverIndexed ? [.canonical, .neverIndexed] : .canonical))
        guard HeaderName.concernsFraming(known), let header = HeaderName(rawValue: known) else { return nil }
        return noteFraming(header, colon + 2..<colon + 2 + value.count)
    }

    private mutating func noteFraming(_ header: HeaderName, _ value: Range<Int>) -> HTTPMessageError? {
        switch header {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade: return .connectionField
        case .http2Settings: entries[entries.count - 1].flags.insert(.hopByHop)
        case .te:
            // RFC 9113 §8.2.2: "trailers" and nothing else. What goes on is `acceptsTrailers`.
            guard text[value].equalsIgnoringCase("trailers") else { return .connectionField }
            entries[entries.count - 1].flags.insert(.hopByHop)
        default: break
        }
        return fields.note(header, in: text, value)
    }

    /// RFC 9113 §8.2.3: cookies come in crumbs, which belong together again before they leave HTTP/2. The crumb was
    /// written as a field of its own; right behind the last one it becomes a part of that.
    private mutating func joinCookie(_ value: ByteSlice, behind crumb: TextRange) -> Bool {
        hasCookies = true
        guard entries.count > 0 else { return false }
        let last = entries[entries.count - 1]
        guard last.knownName == HeaderName.cookie.rawValue, last.value + last.valueLength + 2 == crumb.location else {
            return false
        }
        count = Int(last.value + last.valueLength)
        append(ByteSlice("; "))
        append(value)
        append(ByteSlice("\r\n"))
        entries[entries.count - 1].valueLength += UInt32(value.count + 2)
        return true
    }

    // MARK: Text

    /// All that is stored. Good until the next field.
    package var text: ByteSlice {
        guard let start = unsafe start else { return .empty }
        return unsafe ByteSlice(start: start, count: count)  // written up to there
    }

    func text(_ range: TextRange) -> ByteSlice {
        text[Int(range.location)..<Int(range.location) + Int(range.length)]
    }

    /// Stores a value that is no field.
    private mutating func write(_ value: ByteSlice) -> TextRange {
        reserve(value.count)
        let location = count
        append(value)
        return TextRange(location..<count)
    }

    /// Stores a field line.
    private mutating func write(_ name: ByteSlice, _ value: ByteSlice) -> TextRange {
        reserve(name.count + value.count + 4)
        let location = count
        append(name)
        append(ByteSlice(": "))
        append(value)
        append(ByteSlice("\r\n"))
        return TextRange(location..<location + name.count)
    }

    private mutating func append(_ bytes: ByteSlice) {
        guard let start = unsafe start else { return }
        precondition(count + bytes.count <= capacity, "room was reserved")
        unsafe bytes.copy(to: start + count)  // inside of the memory
        count += bytes.count
    }

    private mutating func reserve(_ room: Int) {
        if count == 0 {
            if unsafe start == nil { allocate(max(1_024, room + Self.bytesBefore)) }
            unsafe start?.initializeMemory(as: UInt8.self, repeating: 0, count: Self.bytesBefore)
            count = Self.bytesBefore
        }
        guard count + room > capacity else { return }
        let old = unsafe start
        allocate(max(capacity * 2, count + room))
        if let old = unsafe old {
            unsafe start?.copyMemory(from: old, byteCount: count)
            unsafe old.deallocate()
        }
    }

    private mutating func allocate(_ bytes: Int) {
        unsafe start = .allocate(byteCount: bytes, alignment: 1)
        capacity = bytes
    }

    // MARK: Rules

    /// RFC 9110 §5.5, white space at the ends aside.
    private static func isFieldValue(_ value: ByteSlice) -> Bool {
        var offset = 0
        while offset < value.count {
            var controls = value.vector(at: offset).controls
            // What stands behind the end reads as zero.
            if value.count - offset < 16 { controls &= 1 << UInt64(value.count - offset) - 1 }
            while controls != 0 {
                if value[offset + controls.trailingZeroBitCount] != .tab { return false }
                controls &= controls - 1
            }
            offset += 16
        }
        return true
    }

    private static func nameError(_ name: ByteSlice) -> HTTPMessageError? {
        guard !name.isEmpty else { return .emptyName }
        guard name.count <= nameBytesMax else { return .headersTooLarge }
        for index in 0..<name.count {
            guard ASCII.isToken(name[index]) else { return .invalidName }
            if ASCII.lowercase(name[index]) != name[index] { return .uppercaseName }
        }
        return nil
    }

    private static let nameBytesMax = 1_024
}
