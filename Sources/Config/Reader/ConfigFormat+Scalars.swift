extension ConfigFormat where Value == String {
    /// Any scalar but null, quoted or not: `name: 123` is the text `123`. It may be empty, if quoted.
    public static var string: ConfigFormat { ConfigFormat("text") { $0.text } }

    /// What listeners, clusters and filters are called: it shows up in metrics, logs and URLs of the admin interface.
    public static var name: ConfigFormat {
        text("1 to 64 letters, digits, _, . or -") { text throws(ConfigProblem) in
            guard (1...64).contains(text.utf8.count), text.utf8.allSatisfy(\.isNameByte) else { throw ConfigProblem() }
            return text
        }
    }
}

extension ConfigFormat where Value == Bool {
    /// `true` or `false`, without quotes. YAML 1.1's other words (`yes`, `on`) are refused.
    public static var bool: ConfigFormat {
        ConfigFormat("true or false") { value in
            guard let text = value.plainText else { return nil }
            switch text {
            case "true": return true
            case "false": return false
            default:
                let meant = ["yes": "true", "on": "true", "no": "false", "off": "false"][text.lowercased()]
                value.refuse(suggestion: meant ?? nearest(to: text, among: ["true", "false"]))
                return nil
            }
        }
    }
}

extension ConfigFormat where Value == Int {
    /// A whole number in decimal digits, without quotes: no sign but a minus, no leading zero, no fraction.
    public static func int(in range: ClosedRange<Int>) -> ConfigFormat {
        ConfigFormat("a whole number from \(range.lowerBound) to \(range.upperBound)") { value in
            guard let text = value.plainText else { return nil }
            let digits = text.utf8.first == UInt8(ascii: "-") ? text.utf8.dropFirst() : text.utf8[...]
            let hasLeadingZero = digits.count > 1 && digits.first == UInt8(ascii: "0")
            guard !hasLeadingZero, digits.allSatisfy({ $0.decimalDigit != nil }), let number = Int(text),
                range.contains(number)
            else {
                value.refuse()
                return nil
            }
            return number
        }
    }
}

extension ConfigFormat where Value == TimeSpan {
    /// A duration with its unit. Within `range`, both ends included.
    public static func duration(in range: ClosedRange<TimeSpan>) -> ConfigFormat {
        text("a duration from \(range.lowerBound) to \(range.upperBound), such as 250ms, 5s or 1m") {
            text throws(ConfigProblem) in
            let duration = try TimeSpan(parsing: text)
            guard range.contains(duration) else { throw ConfigProblem("which is out of range") }
            return duration
        }
    }
}

extension ConfigFormat where Value == TimeSpan? {
    /// A duration within `range`, or `0` for none.
    public static func durationOrOff(in range: ClosedRange<TimeSpan>) -> ConfigFormat {
        text("0 for off, or a duration from \(range.lowerBound) to \(range.upperBound), such as 250ms, 5s or 1m") {
            text throws(ConfigProblem) in
            let duration = try TimeSpan(parsing: text)
            if duration == .zero { return nil }
            guard range.contains(duration) else { throw ConfigProblem("which is out of range") }
            return duration
        }
    }
}

extension ConfigFormat where Value == ByteSize {
    /// A size with its unit, or a number of bytes. Within `range`, both ends included.
    public static func size(in range: ClosedRange<ByteSize>) -> ConfigFormat {
        text("a size from \(range.lowerBound) to \(range.upperBound), such as 512B, 16KiB or 1MiB") {
            text throws(ConfigProblem) in
            let size = try ByteSize(parsing: text)
            guard range.contains(size) else { throw ConfigProblem("which is out of range") }
            return size
        }
    }
}

extension ConfigFormat where Value == Percent {
    /// A share from `0%` to `100%`.
    public static var percent: ConfigFormat {
        text("a share from 0% to 100%, such as 1% or 0.5%", Percent.init(parsing:))
    }
}

extension ConfigFormat where Value == CIDR {
    /// A range of addresses, or one address.
    public static var cidr: ConfigFormat {
        text("a range of addresses such as 10.0.0.0/8 or 2001:db8::/32", CIDR.init(parsing:))
    }
}

extension ConfigFormat where Value == SocketAddress {
    /// Any address, host names included.
    public static var address: ConfigFormat {
        text("HOST:PORT, [IPv6]:PORT, :PORT or unix:PATH", SocketAddress.init(parsing:))
    }

    /// Where to listen: see `SocketAddress.init(listeningAt:)`.
    public static var listenAddress: ConfigFormat {
        text(SocketAddress.listeningForms, SocketAddress.init(listeningAt:))
    }

    /// Where to connect: see `SocketAddress.init(connectingTo:)`.
    public static var endpointAddress: ConfigFormat {
        text(SocketAddress.connectingForms, SocketAddress.init(connectingTo:))
    }
}

extension UInt8 {
    fileprivate var isNameByte: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"): true
        default: false
        }
    }
}
