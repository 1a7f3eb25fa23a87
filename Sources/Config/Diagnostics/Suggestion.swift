/// The candidate that a typing mistake may have turned into `word`: one edit for short words, two from six letters on.
/// Of equally near candidates the first. Words above 64 characters get no suggestion.
package func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
    let typed = folded(word)
    guard !typed.isEmpty, typed.count <= suggestionBytesMax else { return nil }
    var distanceMax = min(typed.count < 6 ? 1 : 2, typed.count - 1)
    var nearest: String?
    for candidate in candidates {
        let utf8Count = candidate.utf8.count
        guard utf8Count <= suggestionBytesMax, abs(utf8Count - typed.count) <= distanceMax else { continue }
        guard let distance = editDistance(typed, folded(candidate), max: distanceMax) else { continue }
        nearest = candidate
        if distance == 0 { return nearest }
        distanceMax = distance - 1
    }
    return nearest
}

private let suggestionBytesMax = 64

/// Case and the choice of `-` or `_` are not worth an edit.
private func folded(_ word: String) -> [UInt8] {
    word.lowercased().utf8.map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "_") : $0 }
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment) between two words;
/// nil above `max`.
func editDistance(_ left: [UInt8], _ right: [UInt8], max: Int) -> Int? {
    var beforePrevious = [Int](repeating: 0, count: right.count + 1)
    var previous = Array(0...right.count)
    var current = previous
    for row in 0..<left.count {
        current[0] = row + 1
        var rowMin = current[0]
        for column in 0..<right.count {
            var cost = previous[column] + (left[row] == right[column] ? 0 : 1)
            cost = min(cost, previous[column + 1] + 1, current[column] + 1)
            if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                cost = min(cost, beforePrevious[column - 1] + 1)
            }
            current[column + 1] = cost
            rowMin = min(rowMin, cost)
        }
        // A swap reaches back two rows, so one row above the bound may still be crossed; two may not be.
        if rowMin > max + 1 { return nil }
        (beforePrevious, previous, current) = (previous, current, beforePrevious)
    }
    return previous[right.count] <= max ? previous[right.count] : nil
}
