/// A log of the exchanges of a listener, one line each.
package struct AccessLogConfiguration: Sendable, Equatable {
    /// A file, a FIFO, `/dev/stdout` or `/dev/stderr`.
    package var path: String
    package var format: AccessLogFormatConfiguration
    /// What is logged: whatever fits one of these; everything when there are none.
    package var filter: [AccessLogFilterConfiguration]
    /// Where the path stands.
    package var origin: ConfigOrigin

    package init(
        path: String, format: AccessLogFormatConfiguration = .text, filter: [AccessLogFilterConfiguration] = [],
        origin: ConfigOrigin = ConfigOrigin()
    ) {
        self.path = path
        self.format = format
        self.filter = filter
        self.origin = origin
    }
}

package enum AccessLogFormatConfiguration: Sendable, Equatable {
    /// Envoy's default line.
    case text
    /// An object with the fields that are asked for most.
    case json
    /// A line with operators.
    case custom(PlacedText)
    /// An object of its author's choice.
    case fields([AccessLogField])
}

/// A member of a JSON line.
package struct AccessLogField: Sendable, Equatable {
    package enum Value: Sendable, Equatable {
        case text(PlacedText)
        case fields([AccessLogField])
    }

    package var name: String
    package var value: Value

    package init(name: String, value: Value) {
        self.name = name
        self.value = value
    }
}

/// Text that only a later stage can read, with its place.
package struct PlacedText: Sendable, Equatable {
    package var text: String
    package var origin: ConfigOrigin

    package init(_ text: String, origin: ConfigOrigin = ConfigOrigin()) {
        self.text = text
        self.origin = origin
    }
}

/// Conditions that all have to hold.
package struct AccessLogFilterConfiguration: Sendable, Equatable {
    /// Of the response; without one it is 0. nil for any.
    package var status: ClosedRange<UInt16>?
    /// At least so long.
    package var duration: TimeSpan?
    /// One of these response flags; empty for whatever.
    package var flags: [PlacedText]
    /// This share, by chance.
    package var sampling: Percent?

    package init(
        status: ClosedRange<UInt16>? = nil, duration: TimeSpan? = nil, flags: [PlacedText] = [],
        sampling: Percent? = nil
    ) {
        self.status = status
        self.duration = duration
        self.flags = flags
        self.sampling = sampling
    }
}
