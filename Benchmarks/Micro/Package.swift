// swift-tools-version: 6.2
import PackageDescription

// The settings of the package in ../.., so that what is measured is what ships.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableExperimentalFeature("Lifetimes"),
]

let package = Package(
    name: "micro",
    dependencies: [],
    targets: [
        // Links to the sources rather than a dependency on the package: declarations at package level are in reach.
        .systemLibrary(name: "Cliburing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "Clibre2", providers: [.apt(["libre2-dev"])]),
        .systemLibrary(name: "Clibyaml", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(name: "CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .target(name: "CRE2", dependencies: ["Clibre2"], linkerSettings: [.linkedLibrary("re2")]),
        .target(name: "CIOUring", dependencies: ["Cliburing"], linkerSettings: [.linkedLibrary("uring")]),
        .target(
            name: "CTLS", dependencies: ["COpenSSL"],
            linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        .target(name: "HTTP", swiftSettings: strict),
        .target(
            name: "Config", dependencies: ["CRE2", "Clibyaml"], swiftSettings: strict),
        // With a backend in memory beside its own, whose methods only this module can override.
        .target(name: "Engine", dependencies: ["CIOUring", "CTLS"], swiftSettings: strict),
        .target(name: "HTTP2", dependencies: ["CNghttp2", "HTTP"], swiftSettings: strict),
        .target(name: "Upstream", dependencies: ["Engine", "HTTP", "HTTP2", "Config"], swiftSettings: strict),
        .target(
            name: "Filters", dependencies: ["CRE2", "Engine", "HTTP", "HTTP2", "Upstream", "Config"],
            swiftSettings: strict),
        .target(name: "AllocationCount"),
        .target(
            name: "Operations", dependencies: ["Engine", "HTTP", "Upstream", "Filters", "Config"],
            swiftSettings: strict),
        // Repeats one operation, for an instruction counter to watch, and says what it allocated.
        .executableTarget(name: "repeat", dependencies: ["Operations", "AllocationCount"], swiftSettings: strict),
    ],
    // What RE2's header wants.
    cxxLanguageStandard: .cxx17
)

// Times for people, through a package that nothing else here needs.
if Context.environment["RINGWAY_MICRO_TIMES"] != nil {
    // Without what counts allocations and references: that is done elsewhere, and it needs more packages.
    package.dependencies.append(.package(url: "https://github.com/ordo-one/benchmark", exact: "1.38.1", traits: []))
    package.targets.append(
        .executableTarget(
            name: "Times", dependencies: ["Operations", .product(name: "Benchmark", package: "benchmark")],
            path: "Benchmarks/Times", swiftSettings: strict,
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]))
}
