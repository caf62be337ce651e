// swift-tools-version: 6.2
import PackageDescription

// A program of its own that uses libfne's Swift library. A package elsewhere depends on the repository's URL instead.
let package = Package(
    name: "nearest",
    dependencies: [.package(name: "libfne", path: "../..")],
    targets: [
        .executableTarget(name: "nearest", dependencies: [.product(name: "FullNetworkEmbedding", package: "libfne")])
    ]
)
