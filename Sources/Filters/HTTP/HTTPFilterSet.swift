/// The filters that a request passes, in the order of the configuration.
///
/// They are kept alive here, as long as their chain, and called through `list`.
final class HTTPFilterSet {
    let list: HTTPFilterList
    private let filters: [HTTPFilter]

    init(_ filters: [HTTPFilter]) {
        self.filters = filters
        list = HTTPFilterList(filters)
    }

    deinit { list.destroy() }
}

/// The filters of an `HTTPFilterSet`, which are there as long as that is. They are called without being counted, and so
/// is this: a retain and a release for each hook of each request are what a chain of filters would mostly cost.
@safe
struct HTTPFilterList {
    let count: Int
    /// What any of them wants.
    let interests: HTTPFilter.Interests

    private struct Entry {
        unowned(unsafe) let filter: HTTPFilter
        let interests: HTTPFilter.Interests
    }

    private let entries: UnsafeMutablePointer<Entry>

    fileprivate init(_ filters: [HTTPFilter]) {
        count = filters.count
        interests = filters.reduce(into: []) { $0.formUnion($1.interests) }
        unsafe entries = .allocate(capacity: max(count, 1))
        for (index, filter) in filters.enumerated() {
            unsafe (entries + index).initialize(to: Entry(filter: filter, interests: filter.interests))
        }
    }

    fileprivate func destroy() { unsafe entries.deallocate() }

    @inline(__always)
    subscript(index: Int) -> HTTPFilter {
        precondition(index >= 0 && index < count, "no such filter")
        return unsafe entries[index].filter
    }

    /// What the filter at `index` wants; nothing where there is no filter.
    @inline(__always)
    func interests(at index: Int) -> HTTPFilter.Interests {
        index >= 0 && index < count ? unsafe entries[index].interests : []
    }
}
