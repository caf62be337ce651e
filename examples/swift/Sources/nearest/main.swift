// Prints which images resemble the first one most:
//
//     swift run --package-path examples/swift nearest network.pb HEIGHTxWIDTH image...
//
// The program embeds the images with all convolutional and dense layers of a frozen TensorFlow GraphDef. It makes
// ternary codes by the images' own statistics. Then it prints the other images in the order of their codes' cosine with
// the first.
// libfne looks for TensorFlow's library on the system's library path and where FNE_TENSORFLOW says.

import FullNetworkEmbedding
import Glibc

func nearest(network: String, height: Int, width: Int, images: [String]) throws {
    var options = Extractor.Options()
    options.height = height
    options.width = width
    let extractor = try Extractor(Model(file: FilePath(network)), options)

    let rows = try extractor.features(of: images.map { FilePath($0) })

    let statistics = try Statistics(featureCount: extractor.featureCount)
    try statistics.update(rows)
    let (mean, std) = try statistics.moments()
    let codes = try Discretization().codes(of: rows, mean: mean, std: std)

    let packed = try PackedCodes.packed(codes, features: extractor.featureCount)
    let first = Array(packed.prefix(packed.count / images.count))
    let found = try PackedCodes.nearest(in: packed, to: first, features: extractor.featureCount, k: images.count)
    for (index, cosine) in found[0] where index != 0 { print("\(images[index])\t\(cosine)") }
}

func say(_ text: String) { _ = (text + "\n").withCString { write(STDERR_FILENO, $0, strlen($0)) } }

let arguments = CommandLine.arguments
let sides = arguments.count > 4 ? arguments[2].split(separator: "x").compactMap { Int($0) } : []
guard sides.count == 2 else {
    say("usage: nearest network.pb HEIGHTxWIDTH image image...")
    exit(2)
}
do {
    try nearest(network: arguments[1], height: sides[0], width: sides[1], images: Array(arguments[3...]))
} catch {
    say("nearest: \(error)")
    exit(1)
}
