import FNESupport
import Glibc

/// Recognizes files that users take for a GraphDef, so that the error says what the file is and what to do.
///
/// A GraphDef begins with the key of one of its fields. No file of the kinds below does, except where it says so.
struct WrongFile {
    /// What the file is, in words after "this is".
    let what: String
    /// What to do, in a sentence or two.
    let wayOut: String

    /// - Throws: `.invalidGraph` for a file of a kind that is known and is not a GraphDef.
    static func check(_ bytes: UnsafeRawBufferPointer) throws {
        guard let found = recognize(Content(bytes)) else { return }
        throw FNEError(.invalidGraph, "this is \(found.what), not a frozen GraphDef. \(found.wayOut)")
    }

    /// The error of a file that could not be read as a GraphDef. Its name may say what its bytes do not.
    static func explain(_ error: FNEError, file path: FilePath) -> FNEError {
        let name = path.text.split(separator: UInt8(ascii: "/")).last ?? []
        let isData = name.withUnsafeBytes { Content($0).contains(".data-") }
        guard error.status == .invalidGraph, isData else { return error }
        return FNEError(.invalidGraph, "this is \(checkpoint.what), not a frozen GraphDef. \(checkpoint.wayOut)")
    }

    /// The bytes of a file, and questions about them.
    private struct Content {
        let bytes: UnsafeRawBufferPointer

        init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

        func has(_ expected: [UInt8], at place: Int = 0) -> Bool {
            bytes.count >= place + expected.count
                && UnsafeRawBufferPointer(rebasing: bytes[place..<place + expected.count]).elementsEqual(expected)
        }

        func has(_ text: String, at place: Int = 0) -> Bool { has(Array(text.utf8), at: place) }

        func ends(with expected: [UInt8]) -> Bool {
            bytes.count >= expected.count && has(expected, at: bytes.count - expected.count)
        }

        /// Whether the text stands anywhere in the file.
        func contains(_ text: String) -> Bool {
            let text = Array(text.utf8)
            guard let start = bytes.baseAddress, let first = text.first else { return false }
            var place = 0
            while place < bytes.count, let found = memchr(start + place, Int32(first), bytes.count - place) {
                place = UnsafeRawPointer(found) - start
                if has(text, at: place) { return true }
                place += 1
            }
            return false
        }

        /// The first printable bytes after spaces, in small letters; nil where the file does not begin with text.
        var text: String? {
            let start = bytes.prefix(512)
            guard !start.isEmpty, start.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || (9...13).contains($0) }) else {
                return nil
            }
            let letters = start.drop { $0 <= 0x20 }.map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 }
            return String(decoding: letters, as: UTF8.self)
        }

        /// The file's fields, read as a protocol buffer, up to the first damage. A file of many fields is no model.
        func fields() -> [(field: Int, value: ProtobufReader.Value)] {
            var reader = ProtobufReader(bytes)
            var fields: [(Int, ProtobufReader.Value)] = []
            while fields.count < 64, let next = try? reader.next() { fields.append(next) }
            return fields
        }
    }

    private static func recognize(_ content: Content) -> WrongFile? {
        binary(content) ?? archive(content) ?? textual(content) ?? serialized(content)
    }

    // MARK: Files with a mark at their beginning or end

    private static func binary(_ content: Content) -> WrongFile? {
        if content.has([0x89] + Array("HDF\r\n".utf8)) { return hdf5(content) }
        if content.has("TFL3", at: 4) {
            return WrongFile(
                what: "a TensorFlow Lite model (.tflite)",
                wayOut: "It cannot be turned back. Freeze the TensorFlow or Keras model that it was made from")
        }
        if content.has([0x89] + Array("PNG".utf8)) || content.has([0xff, 0xd8, 0xff]) || content.has("GIF8")
            || content.has("WEBP", at: 8)
        {
            return WrongFile(what: "an image", wayOut: "Give the network's file here, and images to the extractor")
        }
        if content.ends(with: [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb]) { return checkpoint }
        if content.has([0x93] + Array("NUMPY".utf8)) {
            return WrongFile(what: "a NumPy array (.npy)", wayOut: "Give the network's file")
        }
        if isPickle(content) {
            return WrongFile(what: "a Python pickle, as PyTorch writes them (.pth, .pt)", wayOut: outOfPyTorch)
        }
        if isSafetensors(content) {
            return WrongFile(
                what: "a safetensors file, which holds weights without their network",
                wayOut: "Build the network, load the weights into it, and give fne.Model the Keras model or the "
                    + "SavedModel's folder")
        }
        return nil
    }

    private static func hdf5(_ content: Content) -> WrongFile {
        content.contains("model_config")
            ? WrongFile(
                what: "a Keras model in an HDF5 file (.h5)",
                wayOut: "In Python, open it with fne.Model(keras.models.load_model(file))")
            : WrongFile(
                what: "an HDF5 file with weights alone (.weights.h5)",
                wayOut: "Build the network in Keras, call its load_weights, and give the Keras model to fne.Model")
    }

    /// Part of a checkpoint, which has its weights in one file and their names in another.
    private static let checkpoint = WrongFile(
        what: "part of a TensorFlow checkpoint, which holds weights without their network",
        wayOut: "Restore the checkpoint in the program that made it, and freeze the graph with "
            + "tf.compat.v1.graph_util.convert_variables_to_constants")

    private static let outOfPyTorch =
        "libfne runs TensorFlow graphs. In Python, fne.fne_torch takes a torchvision network. Another one has to be "
        + "converted to TensorFlow"

    private static func isPickle(_ content: Content) -> Bool {
        content.has([0x80]) && content.bytes.count > 2 && (2...5).contains(content.bytes[1])
    }

    /// The file begins with the size of a header in JSON, as eight bytes of which the last ones are zero.
    private static func isSafetensors(_ content: Content) -> Bool {
        content.has([0, 0, 0], at: 5) && content.has("{\"", at: 8)
    }

    // MARK: Archives

    private static func archive(_ content: Content) -> WrongFile? {
        if content.has("PK") { return zip(content) }
        let kinds: [(mark: [UInt8], place: Int, name: String, command: String)] = [
            ([0x1f, 0x8b], 0, "a gzip file (.gz, .tgz)", "gunzip, or tar -xzf for a .tgz"),
            (Array("BZh".utf8), 0, "a bzip2 file (.bz2)", "bunzip2"),
            ([0xfd] + Array("7zXZ".utf8), 0, "an xz file (.xz)", "unxz"),
            ([0x28, 0xb5, 0x2f, 0xfd], 0, "a Zstandard file (.zst)", "unzstd"),
            ([0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], 0, "a 7z archive", "7z x"),
            (Array("Rar!".utf8), 0, "a RAR archive", "unrar x"),
            (Array("ustar".utf8), 257, "a tar archive", "tar -xf"),
        ]
        // A GraphDef may have any text at byte 257.
        let isGraph = [0x0a, 0x12, 0x18, 0x22].contains { content.has([$0]) }
        guard let kind = kinds.first(where: { content.has($0.mark, at: $0.place) }), !isGraph else { return nil }
        return WrongFile(what: kind.name, wayOut: "Unpack it first (\(kind.command)), and give the network in it")
    }

    /// A ZIP archive, by the names of the files in it.
    private static func zip(_ content: Content) -> WrongFile {
        if content.contains("model.weights.h5") {
            return WrongFile(
                what: "a Keras model (.keras)",
                wayOut: "In Python, open it with fne.Model(keras.models.load_model(file))")
        }
        if content.contains("data.pkl") {
            return WrongFile(what: "a PyTorch file (.pth, .pt)", wayOut: outOfPyTorch)
        }
        return WrongFile(what: "a ZIP archive", wayOut: "Unpack it first (unzip), and give the network in it")
    }

    // MARK: Text

    private static func textual(_ content: Content) -> WrongFile? {
        guard let text = content.text else { return nil }
        func starts(_ texts: String...) -> Bool { texts.contains { text.hasPrefix($0) } }
        if starts("version https://git-lfs") {
            return WrongFile(
                what: "a pointer of Git LFS, which stands for a file that was not fetched",
                wayOut: "Run 'git lfs pull' in the repository")
        }
        if starts("<!doctype html", "<html", "<head", "<body", "<?xml") {
            return WrongFile(
                what: "a web page", wayOut: "The download got a page in place of the file. Download the file again")
        }
        if starts("node {", "node:", "node{", "library {", "versions {") {
            return WrongFile(
                what: "a GraphDef in text format (.pbtxt)",
                wayOut: "Read it with google.protobuf.text_format.Parse, and give its SerializeToString()")
        }
        if starts("model_checkpoint_path") { return checkpoint }
        if starts("{", "[") {
            return WrongFile(
                what: "JSON text",
                wayOut: "It may describe a network, but holds no weights. Give fne.Model the Keras model itself or a "
                    + "SavedModel's folder")
        }
        return WrongFile(what: "a text file", wayOut: "Give the network's file, which is binary")
    }

    // MARK: Other protocol buffers

    private static func serialized(_ content: Content) -> WrongFile? {
        content.has([0x08]) ? versioned(content.fields()) : content.has([0x0a]) ? metaGraph(content.fields()) : nil
    }

    /// A MetaGraphDef. Its first field is a message too, in which a GraphDef's node has attributes where this one has
    /// the version of TensorFlow.
    private static func metaGraph(_ fields: [(field: Int, value: ProtobufReader.Value)]) -> WrongFile? {
        guard case .bytes(let first)? = fields.first?.value else { return nil }
        let isAboutGraph = Content(first).fields().contains { field, value in
            guard case .bytes(let text) = value, field == 5 || field == 6 else { return false }
            return text.first.map { $0 > 0x20 } ?? false
        }
        guard isAboutGraph else { return nil }
        return WrongFile(
            what: "the MetaGraph of a checkpoint (.meta), without weights",
            wayOut:
                "Open it with tf.compat.v1.train.import_meta_graph, restore the checkpoint's weights, and freeze the "
                + "graph with tf.compat.v1.graph_util.convert_variables_to_constants")
    }

    /// A message that begins with a version: a SavedModel, an ONNX model, or one of Core ML.
    private static func versioned(_ fields: [(field: Int, value: ProtobufReader.Value)]) -> WrongFile? {
        guard case .varint(1...64)? = fields.first?.value else { return nil }
        let numbers = Set(fields.dropFirst().map(\.field))
        if numbers.contains(where: { $0 >= 200 }) {
            return WrongFile(
                what: "a Core ML model (.mlmodel)",
                wayOut: "Freeze the TensorFlow or Keras model that it was made from")
        }
        // The graph, and the sets of operations that it uses.
        if numbers.contains(7) || numbers.contains(8) {
            return WrongFile(
                what: "an ONNX model (.onnx) that cannot be read",
                wayOut:
                    "It is cut off or damaged, or of a form that libfne does not know. Export it again")
        }
        guard numbers == [2] else { return nil }
        return WrongFile(
            what: "a SavedModel's saved_model.pb, whose weights are in other files",
            wayOut: "In Python, give fne.Model the folder that holds it")
    }
}
