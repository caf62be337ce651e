import FNESupport

/// The ONNX model that a session runs for rows: the network, the pooling of each layer, and the concatenation. Nodes
/// that no layer needs are left out. It takes the float32 of n images in the layout of the network's input, and gives
/// float32 [n, F].
struct ONNXRowGraph {
    /// A value of the network that becomes columns of the rows.
    struct Tap {
        /// The value's number in the topology.
        let value: Int
        let pooling: ONNXPooling
    }

    /// How many images a model takes at once.
    enum Batch {
        /// Any number. A batch of one that the file fixes is freed.
        case free
        /// One, as the file fixes it.
        case one
    }

    /// The serialized ModelProto.
    let serialized: Bytes
    /// The files in memory that hold the large constants.
    let weights: [ONNXWeights.File]
    /// The names of the input and the output.
    let input: String
    let output: String
    /// F, the number of features in a row.
    let featureCount: Int

    /// Constants of fewer bytes are copied into the model.
    private static let weightSize = 1_024

    /// - Parameters:
    ///   - height: the height of the images
    ///   - width: their width
    /// - Throws: `.unsupportedTensor`, `.outOfMemory`.
    init(
        _ network: ONNXNetwork, input: ONNXInput, taps: [Tap], height: Int, width: Int, batch: Batch = .free
    ) throws {
        var count = 0
        for tap in taps {
            guard tap.pooling.featureCount <= Int(Int32.max) - count else {
                throw FNEError(.unsupportedTensor, "these layers have more features than \(Int32.max)")
            }
            count += tap.pooling.featureCount
        }
        let images = batch == .free ? -1 : 1
        let shapes = (image: [images] + input.imageShape(height: height, width: width), result: [images, count])
        try self.init(network, input, batch, values: taps.map(\.value), shapes, features: count) { $0.writeRows(taps) }
    }

    /// A model that gives the shapes of values in place of rows. The result is a list of float32: for each value its
    /// rank, and then its sizes.
    ///
    /// - Throws: as above.
    init(
        _ network: ONNXNetwork, input: ONNXInput, shapesOf values: [Int], height: Int, width: Int, batch: Batch
    ) throws {
        let image = [batch == .free ? -1 : 1] + input.imageShape(height: height, width: width)
        try self.init(network, input, batch, values: values, (image, nil), features: 0) { $0.writeShapes(values) }
    }

    private init(
        _ network: ONNXNetwork, _ input: ONNXInput, _ batch: Batch, values: [Int],
        _ shapes: (image: [Int], result: [Int]?),
        features count: Int, writeResult: (inout Builder) -> String
    ) throws {
        guard input.batch == nil || input.batch == 1 else {
            throw FNEError(
                .unsupportedTensor,
                "the network takes batches of \(input.batch ?? 0) images alone. Export it with a batch of any size, or "
                    + "of one")
        }
        try Reserve.prepare(saturating(network.structureSize, 16))
        var builder = Builder(network, input, batch)
        builder.writeInput()
        try builder.writeNetwork(values)
        let result = writeResult(&builder)
        weights = try builder.weights.made()
        self.input = builder.input
        output = result
        featureCount = count
        let model = builder.model(result, image: shapes.image, result: shapes.result)
        serialized = try model.withUnsafeBytes { try Bytes(copying: $0) }
        try Reserve.check()
    }

    // MARK: Building

    private struct Builder {
        let network: ONNXNetwork
        let image: ONNXInput
        /// Whether a batch of one that the file fixes is freed.
        let frees: Bool
        var writer: ONNXWriter
        var weights = ONNXWeights()
        /// Whether values may be of types of real numbers other than float32.
        let casts: Bool
        /// Whether the model has operators of libfne's.
        var usesOwnOperators = false

        var input: String { writer.prefix + "input" }
        private var topology: ONNXTopology { network.topology }
        private var images: String { writer.prefix + "images" }

        init(_ network: ONNXNetwork, _ image: ONNXInput, _ batch: Batch) {
            self.network = network
            self.image = image
            frees = image.batch != nil && batch == .free
            writer = ONNXWriter(opset: network.definition.opset, prefix: Self.prefix(network.topology.names))
            casts = Self.holdsOtherReals(network, image)
        }

        /// A beginning that no name of the graph has.
        private static func prefix(_ names: [String]) -> String {
            let taken = names.compactMap { name -> Int? in
                let rest = name.utf8.drop { $0 == UInt8(ascii: "_") }
                return rest.starts(with: "fne/".utf8) ? name.utf8.count - rest.count : nil
            }
            return String(repeating: "_", count: taken.max().map { $0 + 1 } ?? 0) + "fne/"
        }

        private static func holdsOtherReals(_ network: ONNXNetwork, _ image: ONNXInput) -> Bool {
            image.type != .float32 || network.topology.constants.values.contains { $0.type.isOtherReal }
                || network.graph.nodes.contains { node in
                    node.operation == "Cast" && ONNXType(number: node.integer("to") ?? 0).isOtherReal
                }
        }

        // MARK: Input

        /// Writes what makes the network's input of the images.
        mutating func writeInput() {
            var value = input
            if let numbers = image.type.dataType.wholeNumbers { value = rounded(value, numbers) }
            if image.type == .float32 {
                writer.node("Identity", [value], output: image.name)
            } else {
                writer.node("Cast", [value], ["to": .integer(image.type.rawValue)], output: image.name)
            }
            if frees {
                let shape = writer.node("Shape", [input])
                writer.node("Gather", [shape, writer.integers([0])], ["axis": .integer(0)], output: images)
            }
        }

        private mutating func rounded(_ value: String, _ numbers: ClosedRange<Float>) -> String {
            let bounded = writer.node(
                "Min",
                [writer.node("Max", [value, writer.number(numbers.lowerBound)]), writer.number(numbers.upperBound)])
            return writer.node("Floor", [writer.node("Add", [bounded, writer.number(0.5)])])
        }

        // MARK: Network

        /// Writes the nodes and the constants that some values need.
        mutating func writeNetwork(_ values: [Int]) throws {
            let needed = needed(values)
            let batch = frees ? ONNXBatch(network, images: images) : nil
            for value in needed.constants.sorted() { writeConstant(value) }
            for place in topology.order where needed.nodes.contains(place) {
                if let output = topology.outputs[place].first ?? nil, isOutside(output) { continue }
                if ONNXOwnOperators.replaces(network.graph.nodes[place]), !casts {
                    usesOwnOperators = true
                    writer.copy(try network.node(place, as: ONNXOwnOperators.normalization))
                } else if let batch {
                    try batch.write(place, to: &writer)
                } else {
                    writer.copy(try network.node(place))
                }
            }
        }

        private func isOutside(_ value: Int) -> Bool {
            guard case .outside? = topology.constants[value]?.place else { return false }
            return true
        }

        /// The nodes and the constants that some values need, up to the input.
        private func needed(_ values: [Int]) -> (nodes: Set<Int>, constants: Set<Int>) {
            var nodes = Set<Int>()
            var constants = Set<Int>()
            var pending = values + values.flatMap(scales)
            while let value = pending.popLast() {
                guard let place = topology.producers[value], !isOutside(value) else {
                    if topology.constants[value] != nil { constants.insert(value) }
                    continue
                }
                if nodes.insert(place).inserted { pending += topology.inputs[place].compactMap { $0 } }
            }
            return (nodes, constants)
        }

        private mutating func writeConstant(_ value: Int) {
            guard let tensor = topology.constants[value] else { return }
            let name = topology.names[value]
            switch tensor.place {
            case .outside(let region): refer(to: tensor, name, region.content, region.range)
            case .file(let range) where range.count >= ONNXRowGraph.weightSize:
                refer(to: tensor, name, network.source, range)
            default:
                writer.copy(constant: network.source.withBytes { Array($0[tensor.range]) })
            }
        }

        private mutating func refer(to tensor: ONNXTensor, _ name: String, _ source: Bytes, _ range: Range<Int>) {
            let (location, offset) = weights.place(range, of: source)
            var message = ProtobufWriter()
            for dimension in tensor.dimensions { message.number(1, dimension) }
            message.number(2, tensor.type.rawValue)
            message.text(8, name)
            for (key, value) in [("location", location), ("offset", String(offset)), ("length", String(range.count))] {
                message.message(13) {
                    $0.text(1, key)
                    $0.text(2, value)
                }
            }
            message.number(14, 1)
            writer.copy(constant: message.bytes)
        }

        // MARK: Rows

        /// Writes the pooling of the taps and the concatenation. Returns the name of the result.
        mutating func writeRows(_ taps: [Tap]) -> String {
            var parts: [String] = []
            // Neighbouring maps become rows together, which takes one node less for each.
            var means: [String] = []
            for (place, tap) in taps.enumerated() {
                let axes = Axes(tap.pooling)
                guard axes.areOfAMap else {
                    parts.append(pooled(real(tap.value), tap.pooling))
                    continue
                }
                means.append(mean(real(tap.value), axes))
                let next = taps.dropFirst(place + 1).first.map { $0.pooling }
                if let next, Axes(next).areOfAMap, next.shape.count == tap.pooling.shape.count { continue }
                let all = means.count == 1 ? means[0] : writer.node("Concat", means, ["axis": .integer(1)])
                parts.append(features(all, axes))
                means = []
            }
            let output = writer.prefix + "rows"
            guard parts.count > 1 else { return writer.node("Identity", parts, output: output) }
            return writer.node("Concat", parts, ["axis": .integer(1)], output: output)
        }

        /// Writes the ranks and sizes of values, one after the other. Returns the name of the result.
        mutating func writeShapes(_ values: [Int]) -> String {
            var parts: [String] = []
            for value in values {
                let shape = writer.node("Shape", [topology.names[value]])
                parts += [writer.node("Shape", [shape]), shape]
            }
            return writer.float32(writer.node("Concat", parts, ["axis": .integer(0)]))
        }

        /// The scale and the zero of a value that a quantized operator makes; empty for other values.
        private func scales(_ value: Int) -> [Int] {
            guard let place = topology.producers[value] else { return [] }
            let inputs = topology.inputs[place]
            let first: Int? =
                switch network.graph.nodes[place].operation {
                case "QLinearConv", "QLinearMatMul": 6
                case "QuantizeLinear": 1
                default: nil
                }
            return first.map { first in (first...first + 1).compactMap { $0 < inputs.count ? inputs[$0] : nil } } ?? []
        }

        /// The value in float32.
        private mutating func real(_ value: Int) -> String {
            let name = topology.names[value]
            let scales = scales(value).map { topology.names[$0] }
            if !scales.isEmpty { return writer.node("DequantizeLinear", [name] + scales) }
            return casts ? writer.float32(name) : name
        }

        private mutating func pooled(_ value: String, _ pooling: ONNXPooling) -> String {
            let axes = Axes(pooling)
            var value = value
            if pooling.rows != .one { value = writer.node("Reshape", [value, writer.integers(axes.split(pooling))]) }
            guard let token = axes.rest.first, axes.rest.count == 1 else { return features(mean(value, axes), axes) }
            let prefix = pooling.tokens.prefix
            switch pooling.tokens.pooling {
            case .first: return features(first(value, token), axes)
            case .rest: return features(rest(value, token, prefix), axes)
            case .firstAndRest:
                let parts = [features(first(value, token), axes), features(rest(value, token, prefix), axes)]
                return writer.node("Concat", parts, ["axis": .integer(1)])
            case .mean: return features(mean(value, axes), axes)
            }
        }

        private mutating func first(_ value: String, _ token: Int) -> String {
            writer.node("Gather", [value, writer.integers([0], isScalar: true)], ["axis": .integer(token)])
        }

        private mutating func rest(_ value: String, _ token: Int, _ prefix: Int) -> String {
            writer.mean(writer.tail(value, axis: token, from: prefix), over: [token])
        }

        private mutating func mean(_ value: String, _ axes: Axes) -> String {
            if axes.rest.isEmpty { return value }
            // ONNX Runtime computes this one in the layout that its convolutions use.
            if axes.isMap { return writer.node("GlobalAveragePool", [value]) }
            // Axis by axis. One sum of tens of thousands of float32 loses digits, and how many depends on the batch.
            var value = value
            for (gone, axis) in axes.rest.enumerated() { value = writer.mean(value, over: [axis - gone]) }
            return value
        }

        /// The features on one axis.
        private mutating func features(_ value: String, _ axes: Axes) -> String {
            axes.isMap || axes.channelCount > 1 ? writer.node("Flatten", [value], ["axis": .integer(1)]) : value
        }

        // MARK: Model

        /// The serialized model.
        func model(_ name: String, image: [Int], result: [Int]?) -> [UInt8] {
            var model = ProtobufWriter()
            // Before version 4 of the format, constants had to be named among the inputs.
            model.number(1, max(network.definition.version, 4))
            model.text(2, "libfne")
            model.message(7) { graph in
                for node in writer.nodes { graph.bytes(1, node) }
                graph.text(2, "rows")
                for constant in writer.constants { graph.bytes(5, constant) }
                graph.message(11) { Self.write(input, image, to: &$0) }
                graph.message(12) { Self.write(name, result, to: &$0) }
            }
            var opsets = network.definition.opsets
            if usesOwnOperators { opsets[ONNXOwnOperators.domain] = ONNXOwnOperators.version }
            for (domain, version) in opsets.sorted(by: { $0.key < $1.key }) {
                model.message(8) {
                    $0.text(1, domain)
                    $0.number(2, version)
                }
            }
            return model.bytes
        }

        /// A value of float32. -1 stands for the number of images.
        private static func write(_ name: String, _ shape: [Int]?, to value: inout ProtobufWriter) {
            value.text(1, name)
            value.message(2) { type in
                type.message(1) { tensor in
                    tensor.number(1, ONNXType.float32.rawValue)
                    guard let shape else { return }
                    tensor.message(2) { sizes in
                        for size in shape {
                            sizes.message(1) { size < 0 ? $0.text(2, "n") : $0.number(1, size) }
                        }
                    }
                }
            }
        }
    }

    /// The axes of a value that is pooled, after an axis of several rows per image was split in two.
    private struct Axes {
        let rest: [Int]
        let channelCount: Int
        /// Whether the value is a map with the channels on the second axis.
        let isMap: Bool
        /// Whether it is one of two sides or more, which is averaged in any case.
        var areOfAMap: Bool { isMap && rest.count > 1 }

        init(_ pooling: ONNXPooling) {
            channelCount = pooling.channelAxes.count
            let axis = pooling.imageAxis
            isMap = pooling.rows == .one && axis == 0 && pooling.channelAxes == 1..<2 && pooling.shape.count >= 3
            let others = pooling.shape.indices.filter { $0 != axis && !pooling.channelAxes.contains($0) }
            guard pooling.rows != .one else {
                rest = others
                return
            }
            rest = (others.map { $0 > axis ? $0 + 1 : $0 } + [pooling.rows == .together ? axis + 1 : axis]).sorted()
        }

        /// The shape in which the rows of an image have an axis of their own.
        func split(_ pooling: ONNXPooling) -> [Int] {
            let rows = pooling.shape[pooling.imageAxis]
            var shape = pooling.shape
            shape.replaceSubrange(
                pooling.imageAxis...pooling.imageAxis, with: pooling.rows == .together ? [-1, rows] : [rows, -1])
            return shape
        }
    }
}
