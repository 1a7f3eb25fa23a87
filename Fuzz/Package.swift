// swift-tools-version: 6.2
import PackageDescription

// Coverage instrumentation for the code under test; the drivers link libFuzzer and call its driver.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]
let instrumented = strict + [.unsafeFlags(["-sanitize=fuzzer", "-parse-as-library"])]

func driver(_ name: String, _ more: Target.Dependency...) -> Target {
    .executableTarget(
        name: name, dependencies: ["HTTP", "FuzzSupport"] + more, swiftSettings: instrumented,
        linkerSettings: [.unsafeFlags(["-sanitize=fuzzer", "-use-ld=lld"])])
}

let package = Package(
    name: "fuzz",
    targets: [
        // A link to ../Sources/HTTP rather than a dependency on the package: the sources are compiled again, with
        // instrumentation, and their package-level declarations are in reach.
        .target(name: "HTTP", swiftSettings: instrumented),
        .systemLibrary(name: "CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .target(name: "HTTP2", dependencies: ["CNghttp2", "HTTP"], swiftSettings: instrumented),
        .target(name: "CLibFuzzer"),
        .target(name: "FuzzSupport", dependencies: ["CLibFuzzer", "HTTP"], swiftSettings: strict),
        driver("FuzzRequest"),
        driver("FuzzResponse"),
        driver("FuzzChunked"),
        driver("FuzzHTTP2Server", "HTTP2"),
    ]
)
