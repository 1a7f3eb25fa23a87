/// A table of `ringway top`, cut to the room that there is.
struct TopTable {
    private let head: [String]
    /// How many of the columns, from the left, have names; the others have numbers.
    private let nameCount: Int
    private let rows: [[String]]

    /// Names are not cut any shorter.
    private static let nameColumnsMin = 10
    private static let gap = "  "

    init(_ head: [String], names: Int, _ rows: [[String]]) {
        self.head = head
        nameCount = names
        self.rows = rows.map { $0.map(Self.printable) }
    }

    var isEmpty: Bool { rows.isEmpty }

    /// How many rows each of the tables gets of so many lines: the same for all, but for those that need fewer. A blank
    /// line and the head stand above the rows. Tables without room get none.
    static func share(_ lines: Int, among tables: [TopTable]) -> [Int] {
        let shown = min(max(lines, 0) / 3, tables.count)
        var shares = tables.map { _ in 0 }
        var left = max(lines, 0) - 3 * shown
        for index in 0..<shown { shares[index] = 1 }
        while left > 0 {
            let before = left
            for index in 0..<shown where left > 0 && shares[index] < tables[index].rows.count {
                shares[index] += 1
                left -= 1
            }
            if left == before { break }
        }
        return shares
    }

    /// The head and some rows. Where the columns are too many, long names are cut first, then columns are left out, from
    /// the right: half a number would be another one.
    func lines(rows rowCount: Int, columns: Int) -> [String] {
        let shown = [head] + rows.prefix(rowCount)
        var widths = head.indices.map { column in shown.map { $0[column].count }.max() ?? 0 }
        func total() -> Int { widths.reduce(0, +) + Self.gap.count * (widths.count - 1) }
        for column in 0..<nameCount where total() > columns {
            widths[column] = max(widths[column] - (total() - columns), min(widths[column], Self.nameColumnsMin))
        }
        while widths.count > 1, total() > columns { widths.removeLast() }
        return shown.map { row in
            let cells = widths.indices.map { column -> String in
                let cell =
                    row[column].count > widths[column] ? row[column].prefix(widths[column] - 1) + "…" : row[column]
                let blank = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + blank : blank + cell
            }
            return String(cells.joined(separator: Self.gap).prefix(columns))
        }
    }

    /// A terminal obeys what looks like a command.
    private static func printable(_ text: String) -> String {
        String(text.map { $0.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control } ? $0 : "?" })
    }
}
