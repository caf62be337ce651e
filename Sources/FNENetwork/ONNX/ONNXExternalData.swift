import FNESupport
import Glibc

/// The files beside an ONNX file that hold its weights. Every export by PyTorch's newest exporter has one. Only files
/// in the model's own folder are read, so that a model from elsewhere cannot have other files of the machine read.
final class ONNXExternalData: @unchecked Sendable {
    /// A part of a file beside the model.
    struct Region: Sendable {
        let content: Bytes
        let range: Range<Int>

        /// Lends the part to the body.
        func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
            try content.withBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
        }
    }

    /// The folders in which files may be: that of the model's path, and that of the file which it leads to. Caches of
    /// downloads keep both files in one folder, and links to them in another.
    private let folders: [FilePath]
    private let folder: FilePath?
    private var files: [String: Bytes] = [:]

    /// - Parameter model: the ONNX file; nil for a model in memory
    init(beside model: FilePath?) {
        folder = model?.parent
        folders = [model?.parent, model.flatMap(Self.real)?.parent].compactMap { $0.flatMap(Self.real) }
    }

    /// The files that were read, in the order of their names.
    var contents: [Bytes] {
        files.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }.map(\.value)
    }

    /// The part of a file that an entry of a tensor's external data names.
    ///
    /// - Parameter size: the bytes that the tensor's values take
    /// - Throws: `.invalidGraph`; `.fileError`; `.ioError`.
    func region(_ entry: [String: String], size: Int) throws -> Region {
        guard let location = entry["location"], !location.utf8.isEmpty else {
            throw FNEError(.invalidGraph, "its external data name no file")
        }
        let offset = try Self.number(entry["offset"], "offset") ?? 0
        let length = try Self.number(entry["length"], "length") ?? size
        guard length == size else {
            throw FNEError(.invalidGraph, "its external data have \(length) bytes, but its shape needs \(size)")
        }
        let content = try content(location)
        guard offset <= content.count, size <= content.count - offset else {
            throw FNEError(
                .invalidGraph,
                "its external data end at byte \(offset) + \(size) of '\(location)', which has \(content.count) bytes. "
                    + "The file is cut off, or belongs to another model. Copy both files again")
        }
        return Region(content: content, range: offset..<offset + size)
    }

    private static func number(_ text: String?, _ what: String) throws -> Int? {
        guard let text else { return nil }
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(text) else {
            throw FNEError(.invalidGraph, "the \(what) of its external data is '\(text)', which is no size")
        }
        return number
    }

    private func content(_ location: String) throws -> Bytes {
        if let known = files[location] { return known }
        guard let folder else {
            throw FNEError(
                .invalidGraph,
                "its values are in the file '\(location)' beside the model, and the model was given in memory. Give "
                    + "the path of the ONNX file, or save the model as one file with "
                    + "onnx.save(onnx.load(path), other_path)")
        }
        try Self.checkLocation(location)
        let path = folder.appending(location)
        do {
            let content = try Patience().trying { try Bytes(file: Self.inside(path, folders)) }
            files[location] = content
            return content
        } catch let error as FNEError {
            throw error.about("the file '\(location)' beside the model, which holds weights")
        }
    }

    private static func checkLocation(_ location: String) throws {
        let parts = location.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.allSatisfy({ !$0.isEmpty && !$0.elementsEqual("..".utf8) }), !location.utf8.contains(0) else {
            throw FNEError(
                .invalidGraph,
                "its external data are in '\(location)', which is no path inside of the model's folder. " + wayOut)
        }
    }

    /// The file that a path leads to.
    ///
    /// - Throws: `.invalidGraph` where it is outside of the folders; `.fileError`.
    private static func inside(_ path: FilePath, _ folders: [FilePath]) throws -> FilePath {
        guard let real = real(path) else { throw lastSystemError() }
        guard folders.contains(where: { real.text.starts(with: $0.appending("x").text.dropLast()) }) else {
            throw FNEError(.invalidGraph, "it leads to '\(real)', which is outside of the model's folder. " + wayOut)
        }
        return real
    }

    private static let wayOut = "Put the file beside the model, and save the model with that name"

    /// The path without links; nil where there is none, with errno.
    private static func real(_ path: FilePath) -> FilePath? {
        path.withCString { path in
            guard let found = path.flatMap({ realpath($0, nil) }) else { return nil }
            defer { free(found) }
            return FilePath(cString: found)
        }
    }
}
