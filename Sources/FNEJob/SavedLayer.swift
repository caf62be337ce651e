import FNENetwork
import FNESupport

/// How a job's manifest, and the file beside packed codes, describe a layer.
extension Layer {
    /// The description of the layer.
    var json: JSON {
        .object([
            "name": .text(name), "kind": .text(kind.name), "rank": .integer(rank),
            "first_feature": .integer(features.lowerBound), "features": .integer(features.count),
        ])
    }

    /// The layer that a description tells of; nil where it is wrong.
    init?(_ json: JSON) {
        guard let name = json["name"]?.text, let rank = json["rank"]?.integer, Int(Int32(clamping: rank)) == rank,
            let kind = TensorKind.allCases.first(where: { $0.name == json["kind"]?.text }),
            let first = json["first_feature"]?.integer, let count = json["features"]?.integer, first >= 0, count >= 1,
            first <= Int(Int32.max), count <= Int(Int32.max)
        else { return nil }
        self.init(name: name, kind: kind, rank: rank, features: first..<first + count)
    }
}
