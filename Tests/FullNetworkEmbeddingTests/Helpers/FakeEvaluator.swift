@testable import FNENetwork
@testable import FNESupport

/// Stands for TensorFlow: hands out values that a test gives it, and remembers what it was asked for.
final class FakeEvaluator: ConstantEvaluator {
    private let answers: [String: ConstantValues.Value]
    private(set) var questions: [(graph: WrittenGraph, nodes: [String])] = []

    init(_ answers: [String: ConstantValues.Value] = [:]) { self.answers = answers }

    func evaluate(_ serialized: Bytes, _ nodes: [String]) throws -> [String: ConstantValues.Value] {
        questions.append((try WrittenGraph(serialized), nodes))
        return answers
    }
}
