// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "custom-filter",
    // Elsewhere: .package(url: "…/ringway.git", from: "…")
    dependencies: [.package(name: "ringway", path: "../..")],
    targets: [
        .executableTarget(
            name: "custom-proxy",
            dependencies: [.product(name: "Ringway", package: "ringway")],
            swiftSettings: [.swiftLanguageMode(.v6)])
    ]
)
