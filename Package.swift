// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "libfne",
    products: [
        // The shared library behind include/fne.h. `make build` links it with the flags that a manifest may not carry:
        // static Swift runtime, symbol version, SONAME.
        .library(name: "fne", type: .dynamic, targets: ["FNE"]),
        .library(name: "FullNetworkEmbedding", targets: ["FullNetworkEmbedding"]),
    ],
    targets: [
        .systemLibrary(name: "CFNE", path: "include"),
        .target(name: "CTensorFlow", linkerSettings: [.linkedLibrary("dl")]),
        .target(name: "CImageCodecs", linkerSettings: [.linkedLibrary("jpeg"), .linkedLibrary("png16")]),
        .target(name: "CTensorFlowOperations", dependencies: ["CKernels"], linkerSettings: [.linkedLibrary("dl")]),
        .target(name: "CKernels", linkerSettings: [.linkedLibrary("m")]),
        .target(name: "FullNetworkEmbedding", dependencies: ["CTensorFlow", "CTensorFlowOperations", "CImageCodecs", "CKernels"]),
        .target(name: "FNE", dependencies: ["CFNE", "FullNetworkEmbedding"], exclude: ["exports.map"]),
        .testTarget(name: "FullNetworkEmbeddingTests", dependencies: ["FullNetworkEmbedding", "CFNE", "CKernels"]),
    ]
)
