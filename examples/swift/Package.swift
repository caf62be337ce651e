// swift-tools-version: 6.2
import PackageDescription

// A program that uses libfne's Swift library. SwiftPM identifies a package at a path by the name of its folder, which
// need not be libfne, so the dependency says its name.
let package = Package(
    name: "nearest",
    dependencies: [.package(name: "libfne", path: "../..")],
    targets: [
        .executableTarget(name: "nearest", dependencies: [.product(name: "FullNetworkEmbedding", package: "libfne")])
    ]
)
