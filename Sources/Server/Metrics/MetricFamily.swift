/// A family of series: what it is called, and how the samples of each of its owners are found.
///
/// The rows are written one by one, so that a scrape of many owners can be made in parts.
struct MetricFamily {
    enum Kind: String {
        case counter, gauge, histogram
        /// A gauge that is always 1, whose labels are what it tells.
        case info
    }

    let name: String
    let kind: Kind
    let help: String
    /// What follows the owner in Envoy's spelling of it: `upstream_rq_total`. nil for families of our own.
    let stat: String?
    let rowCount: Int
    let write: (inout MetricWriter, _ row: Int) -> Void

    /// A family with a row for each owner.
    init<Member>(
        _ name: String, _ kind: Kind, _ help: String, stat: String? = nil, _ owners: [Owned<Member>],
        _ write: @escaping (inout MetricWriter, Owned<Member>) -> Void
    ) {
        self.name = name
        self.kind = kind
        self.help = help
        self.stat = stat
        rowCount = owners.count
        self.write = { writer, row in write(&writer, owners[row]) }
    }

    /// A family of the process as a whole.
    init(
        _ name: String, _ kind: Kind, _ help: String, stat: String? = nil,
        _ write: @escaping (inout MetricWriter) -> Void
    ) {
        self.name = name
        self.kind = kind
        self.help = help
        self.stat = stat
        rowCount = 1
        self.write = { writer, _ in write(&writer) }
    }
}
