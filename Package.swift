// swift-tools-version: 6.2
import PackageDescription

// The picture of the architecture: a target names what it knows of, and a wrong arrow does not compile. The targets
// whose names begin with FNE are rooms of one library, which see each other with `package` access. Swift programs
// import FullNetworkEmbedding, which hands on what is public in them.
let package = Package(
    name: "libfne",
    products: [
        // The shared library of include/fne.h. `make build` links it with the flags that a manifest may not carry:
        // static Swift runtime, symbol version, SONAME.
        .library(name: "fne", type: .dynamic, targets: ["FNE"]),
        .library(name: "FullNetworkEmbedding", targets: ["FullNetworkEmbedding"]),
    ],
    targets: [
        .systemLibrary(name: "CFNE", path: "include"),
        .target(name: "FNE", dependencies: ["CFNE", "FullNetworkEmbedding"], exclude: ["exports.map"]),

        .target(
            name: "FullNetworkEmbedding",
            dependencies: [
                "FNEJob", "FNEPipeline", "FNECodes", "FNEEmbedding", "FNENetwork", "FNEImage", "FNESupport",
            ]),
        .target(
            name: "FNEJob",
            dependencies: [
                "FNEPipeline", "FNECodes", "FNEEmbedding", "FNENetwork", "FNEImage", "FNESupport", "CKernels",
            ]),
        .target(
            name: "FNEPipeline",
            dependencies: ["FNECodes", "FNEEmbedding", "FNENetwork", "FNEImage", "FNESupport", "CKernels"]),
        .target(name: "FNECodes", dependencies: ["FNESupport", "CKernels"]),
        .target(name: "FNEEmbedding", dependencies: ["FNESupport", "CKernels"]),
        .target(
            name: "FNENetwork",
            dependencies: [
                "FNESupport", "CKernels", "CTensorFlow", "CTensorFlowOperations", "COnnxRuntime",
                "COnnxRuntimeOperations",
            ]),
        .target(name: "FNEImage", dependencies: ["FNESupport", "CKernels", "CImageCodecs"]),
        .target(name: "FNESupport", dependencies: ["CMemory", "CKernels"]),

        .target(name: "CTensorFlow", linkerSettings: [.linkedLibrary("dl")]),
        .target(name: "COnnxRuntime", linkerSettings: [.linkedLibrary("dl")]),
        .target(name: "COnnxRuntimeOperations", dependencies: ["COnnxRuntime", "CKernels"]),
        .target(name: "CTensorFlowOperations", dependencies: ["CKernels"], linkerSettings: [.linkedLibrary("dl")]),
        .target(
            name: "CImageCodecs",
            linkerSettings: [.linkedLibrary("jpeg"), .linkedLibrary("png16"), .linkedLibrary("dl")]),
        .target(name: "CMemory"),
        .target(name: "CKernels", linkerSettings: [.linkedLibrary("m")]),

        .testTarget(
            name: "FullNetworkEmbeddingTests",
            dependencies: [
                "FullNetworkEmbedding", "FNEJob", "FNEPipeline", "FNECodes", "FNEEmbedding", "FNENetwork", "FNEImage",
                "FNESupport", "CFNE", "CKernels",
            ]),
    ]
)
