import FNESupport

/// What a model holds: a network in one of the formats that are read. It never changes, so that any number of threads
/// may use it at once.
package protocol Network: AnyObject, Sendable {
    /// The library that runs such networks.
    var engine: Backend.Kind { get }
    /// The first output of every node that is no constant, in an order in which they can be computed.
    var tensors: [Model.Tensor] { get }
    /// What a user should know about the network, in sentences.
    var notes: [String] { get }
    /// What the selector "penultimate" selects.
    var penultimate: [TensorName] { get }
    /// The values that were given to inputs beside the image, as "name=value".
    var feeds: [String] { get }
    /// The size of the network without its constants. What is built of it takes memory by this size.
    var structureSize: Int { get }
    /// What the network is computed from, in an order that does not change.
    var contents: [Bytes] { get }

    /// The same network with further values for inputs beside the image (see `Model.feeding`).
    func feeding(_ feeds: [String]) throws -> any Network

    /// The tensor that images are fed to (see `Model.input`).
    func input(named name: String?) throws -> Model.Input

    /// The tensor that a user names; nil where there is none.
    func knownTensor(_ text: String) -> TensorName?

    /// The text under which the nearest names are looked for, where there is no such tensor.
    func plainName(_ text: String) -> String

    /// Throws the reason why there is no layer, where it is known.
    func checkForLayers() throws

    /// The shapes of the tensors for an image's size (see `Model.shapes`).
    func shapes(input name: String?, height: Int?, width: Int?) throws -> [LayerShape?]

    /// Opens the engine that runs the network (see `EngineFactory.open`).
    func open(
        input: Model.Input, layers selected: [LayerSelection.Selected], height: Int, width: Int, channels: Int,
        _ options: EngineOptions
    ) throws -> PreparedNetwork
}

extension Network {
    /// The error for a name that no tensor has.
    func unknownTensor(_ text: String) -> FNEError {
        FNEError(
            .unknownTensor,
            "the graph has no tensor '\(text)'. "
                + nearestNamesSentence(to: plainName(text), among: tensors.map(\.name)))
    }
}
