// swift-tools-version: 6.2
import PackageDescription

// System libraries are named once, here, with the Debian package that brings each.
// scripts/install-dependencies reads the `.apt` lines, so this list is the only one.
let systemLibraries: [Target] = [
    .systemLibrary(name: "Cliburing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "Clibyaml", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
    .systemLibrary(name: "CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    // Without pkg-config, whose -pthread SwiftPM warns about.
    .systemLibrary(name: "Clibre2", providers: [.apt(["libre2-dev"])]),
]

// Every Swift target: Swift 6 language mode, unsafe code spelled out, existentials spelled out.
var strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    // Spans that leave a property: confined to Lease.
    .enableExperimentalFeature("Lifetimes"),
]
var strictC: [CSetting] = [.enableWarning("all"), .enableWarning("extra")]
var strictCXX: [CXXSetting] = [.enableWarning("all"), .enableWarning("extra")]

// `make lint` sets this. Not the default: a newer compiler knows new warnings, and what built must go on building.
if Context.environment["RINGWAY_WARNINGS_AS_ERRORS"] != nil {
    strict.append(.treatAllWarnings(as: .error))
    strictC.append(.treatAllWarnings(as: .error))
    strictCXX.append(.treatAllWarnings(as: .error))
}

let package = Package(
    name: "ringway",
    products: [
        .executable(name: "ringway", targets: ["ringway"]),
        .library(
            name: "Ringway", targets: ["RingwayCLI", "Server", "Filters", "Upstream", "Engine", "HTTP", "Config"]),
    ],
    dependencies: [
        // Exact versions: a build today and a build next year read the same sources.
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-protobuf", exact: "1.39.0"),
    ],
    targets: systemLibraries + [
        .target(
            name: "CIOUring", dependencies: ["Cliburing"], cSettings: strictC,
            linkerSettings: [.linkedLibrary("uring")]),
        .target(
            name: "CTLS", dependencies: ["COpenSSL"], cSettings: strictC,
            linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        .target(
            name: "CRE2", dependencies: ["Clibre2"], cxxSettings: strictCXX, linkerSettings: [.linkedLibrary("re2")]),
        .target(name: "HTTP", swiftSettings: strict),
        .target(name: "HTTP2", dependencies: ["CNghttp2", "HTTP"], swiftSettings: strict),
        .target(
            name: "Config", dependencies: ["CRE2", "Clibyaml"], swiftSettings: strict),
        .target(name: "Engine", dependencies: ["CIOUring", "CTLS"], swiftSettings: strict),
        .target(name: "Upstream", dependencies: ["Engine", "HTTP", "HTTP2", "Config"], swiftSettings: strict),
        .target(
            name: "Filters", dependencies: ["CRE2", "Engine", "HTTP", "HTTP2", "Upstream", "Config"],
            swiftSettings: strict),
        // Messages of tracing backends, generated; see its README.
        .target(
            name: "TracingProtocols", dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")],
            exclude: ["README.md", "otlp_encoded.proto"], swiftSettings: [.swiftLanguageMode(.v6)]),
        .target(
            name: "Server",
            dependencies: [
                "CRE2", "CZlib", "Filters", "Upstream", "Engine", "HTTP", "HTTP2", "Config", "TracingProtocols",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .target(
            name: "RingwayCLI",
            dependencies: ["Server", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: strict),
        .executableTarget(name: "ringway", dependencies: ["RingwayCLI"], swiftSettings: strict),
        .testTarget(name: "HTTPTests", dependencies: ["HTTP"], swiftSettings: strict),
        .testTarget(name: "HTTP2Tests", dependencies: ["HTTP2", "HTTP"], swiftSettings: strict),
        .testTarget(name: "ConfigTests", dependencies: ["Config"], swiftSettings: strict),
        // A kernel in memory, behind the engine's backend seam: what the worker's tests run on. A test target, so
        // that a plain release build, which has no testable modules, leaves it out.
        .testTarget(name: "Simulation", dependencies: ["Engine"], path: "Tests/Simulation", swiftSettings: strict),
        // malloc that counts, for the claim that steady state allocates nothing.
        .target(name: "AllocationCount", path: "Tests/AllocationCount", cSettings: strictC),
        .testTarget(name: "EngineTests", dependencies: ["Engine", "Simulation"], swiftSettings: strict),
        .testTarget(
            name: "UpstreamTests", dependencies: ["Upstream", "Engine", "HTTP", "Config", "Simulation"],
            swiftSettings: strict),
        .testTarget(
            name: "FiltersTests",
            dependencies: ["Filters", "Upstream", "Engine", "HTTP", "Config", "Simulation", "AllocationCount"],
            swiftSettings: strict),
        .testTarget(name: "RoutingTests", dependencies: ["Filters", "HTTP", "Config"], swiftSettings: strict),
    ],
    // What RE2's header wants.
    cxxLanguageStandard: .cxx17
)
