import Filters
import RingwayCLI
import Server

// A proxy that does all that `ringway` does, and knows five more filters.
Ringway.main(
    Extensions(
        networkFilters: [
            NetworkFilterRegistration(RequirePrefixFilter.self)
        ],
        httpFilters: [
            HTTPFilterRegistration(ChecksumFilter.self),
            HTTPFilterRegistration(FileHeaderFilter.self),
            HTTPFilterRegistration(StampFilter.self),
            HTTPFilterRegistration(TarpitFilter.self),
        ]))
