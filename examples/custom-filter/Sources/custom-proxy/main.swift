import Filters
import RingwayCLI
import Server

// A proxy that does all that `ringway` does, and knows three more filters.
Ringway.main(
    Extensions(
        networkFilters: [
            NetworkFilterRegistration(RequirePrefixFilter.self)
        ],
        httpFilters: [
            HTTPFilterRegistration(ChecksumFilter.self),
            HTTPFilterRegistration(StampFilter.self),
            HTTPFilterRegistration(TarpitFilter.self),
        ]))
