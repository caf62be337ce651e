"""Damaged GraphDefs, and operations with odd inputs, run in child processes. Each is a result or an error."""

from __future__ import annotations

import collections
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from graph_mutants import CHILDREN, Origins, outcomes
from operation_sweep import Prepared, sweep
from tensorflow.compat import v1

import fne

MUTANTS = int(os.environ.get("FNE_TEST_MUTANTS", "2000"))

# Mutants that end the process inside TensorFlow, and why no check of the graph can tell: none is known.
KNOWN_ABORTS: dict[int, str] = {}


def test_mutated_graphs(tmp_path):
    origins = Origins()
    for number in range(MUTANTS):
        (tmp_path / f"{number}.pb").write_bytes(origins.mutant(number))
    found: dict[int, str] = {}
    with ThreadPoolExecutor(CHILDREN) as pool:
        for part in pool.map(lambda first: outcomes(tmp_path, first, MUTANTS, CHILDREN), range(CHILDREN)):
            found.update(part)
    deaths = {number: outcome for number, outcome in found.items() if outcome.startswith("death")}
    counts = collections.Counter("death" if number in deaths else outcome for number, outcome in found.items())
    print("\n", counts, *deaths.items(), sep="\n")
    assert sorted(found) == list(range(MUTANTS))
    assert not set(deaths) - set(KNOWN_ABORTS), deaths
    # The mutants get as far as they should: some run, some are refused by the reader, by the list, by TensorFlow.
    for outcome, least in {"result": 0.1, "GraphError": 0.05, "UnsafeGraphError": 0.01, "BackendError": 0.2}.items():
        assert counts[outcome] >= least * MUTANTS, (outcome, counts)


def test_operations_with_odd_inputs(tmp_path):
    """Two cases of each operation. `make sweep` runs as many as there is time for."""
    origins = Prepared()
    cases = [(operation, place) for operation in origins.allowed for place in range(2)]
    found = sweep(origins, tmp_path, cases, seed=5)
    assert len(found) == len(cases) > 800
    assert {case: text for case, text in found.items() if text.startswith("death")} == {}
    ran = {operation for (operation, _), text in found.items() if text == "result"}
    assert len(ran) > 100


def hidden(tensor, x):
    """A tensor whose rank TensorFlow knows only when it runs."""
    big = tf.reduce_max(x) >= 0
    other = tf.zeros([1] * 6, tensor.dtype)
    chosen = tf.raw_ops.Switch(data=tensor, pred=big)[1], tf.raw_ops.Switch(data=other, pred=big)[0]
    return tf.raw_ops.Merge(inputs=chosen)[0]


def odd_map(x, rank, kind):
    """A mean of an image, whose rank TensorFlow knows only when it runs."""
    odd = tf.reduce_mean(x, list(range(4 - rank)))
    if kind == "Merge":
        return hidden(odd, x)
    return tf.cond(tf.reduce_max(x) >= 0, lambda: tf.identity(odd), lambda: tf.identity(x))


def convolution(x, kind, name="end"):
    if kind == "DepthwiseConv2dNative":
        filters = np.ones((1, 1, 3, 1), np.float32)
        return tf.raw_ops.DepthwiseConv2dNative(input=x, filter=filters, strides=[1] * 4, padding="SAME", name=name)
    filters = np.ones((1, 1, 3, 2), np.float32)
    return tf.raw_ops.Conv2D(input=x, filter=filters, strides=[1] * 4, padding="SAME", name=name)


def graph_of(network):
    with tf.Graph().as_default() as graph:
        network(v1.placeholder(tf.float32, [None, 16, 16, 3], "input"))
    return graph.as_graph_def()


def run(folder, graphs):
    """What came of each graph, in a child process."""
    for number, graph in enumerate(graphs):
        (folder / f"{number}.pb").write_bytes(graph.SerializeToString())
    found = outcomes(folder, 0, len(graphs), 1)
    return [found[number] for number in range(len(graphs))]


@pytest.mark.parametrize("operation", ["Conv2D", "DepthwiseConv2dNative"])
def test_convolutions_that_read_no_map(tmp_path, operation):
    """TensorFlow's kernels end the process where they are given another rank than four."""
    ranks = [0, 1, 2, 3, 4]
    graphs = [
        graph_of(lambda x, rank=rank, kind=kind: convolution(odd_map(x, rank, kind), operation))
        for kind in ("If", "Merge")
        for rank in ranks
    ]
    assert run(tmp_path, graphs) == [*["BackendError"] * 4, "result"] * 2


SCATTERS = ["Update", "Add", "Sub", "Min", "Max"]


def scattered(x, kind, updates, indices=None):
    """A TensorScatter whose ranks TensorFlow knows only when it runs."""
    indices = np.zeros((2, 2, 2, 1), np.int32) if indices is None else indices
    operation = getattr(tf.raw_ops, f"TensorScatter{kind}")
    made = operation(tensor=x, indices=hidden(tf.constant(indices), x), updates=hidden(updates, x), name="scatter")
    return convolution(tf.reshape(made, [-1, 16, 16, 3]), "Conv2D")


@pytest.mark.parametrize("kind", SCATTERS)
def test_updates_of_too_few_dimensions(tmp_path, kind):
    """TensorFlow's kernels end the process where updates have fewer dimensions than the indices need."""
    shapes = [[], [2], [2, 2], [2, 2, 2], [2, 2, 2, 16, 16, 3]]
    graphs = [graph_of(lambda x, shape=shape: scattered(x, kind, tf.zeros(shape))) for shape in shapes]
    assert run(tmp_path, graphs) == [*["BackendError"] * 4, "result"]


@pytest.mark.parametrize("kind", SCATTERS)
def test_guarded_updates_compute_the_same(kind):
    def network(x):
        indices = np.array([[0, 1, 2], [0, 3, 4]], np.int32)
        made = scattered(x, kind, tf.constant([[1.0, 2, 300], [4, -5, 6]]), indices)
        return tf.identity(made, "top")

    graph = graph_of(network)
    images = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3)).astype(np.float32)
    with tf.Graph().as_default() as loaded:
        tf.import_graph_def(graph, name="")
        with v1.Session(graph=loaded) as session:
            expected = session.run("top:0", {"input:0": images}).mean((1, 2))
    with fne.Extractor(graph, size=(16, 16), batch_size=1) as extractor:
        np.testing.assert_allclose(extractor.extract(images).features, expected, rtol=1e-5)


def test_a_guarded_convolution_computes_the_same():
    graph = graph_of(lambda x: tf.nn.relu(convolution(odd_map(x, 4, "Merge"), "Conv2D"), "relu"))
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    with pytest.warns(fne.BatchStatisticsWarning):
        extractor = fne.Extractor(graph, size=(16, 16))
    with extractor:
        rows = extractor.extract(list(images)).features
    np.testing.assert_allclose(rows, images.sum(3).mean((1, 2))[:, None].repeat(2, 1), rtol=1e-5)


def test_the_error_names_the_convolution():
    graph = graph_of(lambda x: convolution(odd_map(x, 2, "If"), "Conv2D", "head/conv"))
    # The graph does not show the layer's rows, so that the network runs when the extractor is opened.
    with pytest.raises(fne.BackendError, match=r"head/conv"):
        fne.Extractor(graph, "input", "head/conv", (16, 16))


def test_convolutions_in_a_function_that_read_no_map(tmp_path):
    """TensorFlow checks the shapes of a graph's convolutions, but not of those in a branch."""

    @tf.function(input_signature=[tf.TensorSpec(None)])
    def branch(y):
        return convolution(y, "Conv2D")

    def network(x):
        body = branch.get_concrete_function()
        chosen = tf.raw_ops.StatelessIf(
            cond=tf.reduce_max(x) >= 0,
            input=[tf.reduce_mean(x, [1, 2])],
            Tout=[tf.float32],
            then_branch=body,
            else_branch=body,
        )
        return convolution(x + tf.reduce_sum(tf.reshape(chosen[0], [-1])), "Conv2D")

    assert run(tmp_path, [graph_of(network)]) == ["GraphError"]


def product(transposes, with_constant_first):
    """A product that sums over the images of a batch, with a bias that TensorFlow's optimizer fuses."""

    def network(x):
        rows, weights = tf.reduce_mean(x, [1, 2]), np.ones((1, 2) if with_constant_first else (2, 3), np.float32)
        factors = (weights, rows) if with_constant_first else (rows, weights)
        y = tf.raw_ops.MatMul(a=factors[0], b=factors[1], transpose_a=transposes) + np.ones(3, np.float32)
        return convolution(x + tf.reduce_sum(y), "Conv2D")

    return graph_of(network)


def test_products_over_the_images_of_a_batch(tmp_path):
    """Batches that do not fit the weights are an error, and those that fit have TensorFlow's values."""
    graphs = [product(True, False), product(False, True)]
    assert run(tmp_path, graphs) == ["BackendError", "BackendError"]
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    with pytest.warns(fne.BatchStatisticsWarning):
        extractor = fne.Extractor(graphs[0], "input", "end", (16, 16), batch_size=2)
    rows = images.mean((1, 2))
    total = 3 * rows.sum() + 9  # each image's sum for each of three biases, and the biases
    np.testing.assert_allclose(
        extractor.extract(list(images)).features, (rows.sum(1) + 3 * total)[:, None].repeat(2, 1), rtol=1e-5
    )


def test_maps_of_negative_sizes(tmp_path):
    def network(x):
        filters = np.ones((1, 1, 3, 3), np.float32)
        return convolution(tf.nn.conv2d_transpose(x, filters, [2, 16, 16, 3], 1, "SAME"), "Conv2D")

    graph = graph_of(network)
    sizes = next(node for node in graph.node if node.name.endswith("input_sizes"))
    sizes.attr["value"].tensor.CopyFrom(tf.make_tensor_proto([2, 16, -1, 3]))
    assert run(tmp_path, [graph]) == ["GraphError"]


def test_numbers_of_a_list_that_are_none(tmp_path):
    def item(x, number):
        rows = tf.reduce_mean(x, [0, 1])
        items = tf.raw_ops.TensorListFromTensor(tensor=rows, element_shape=[3])
        found = tf.raw_ops.TensorListGetItem(
            input_handle=items,
            index=hidden(tf.constant(number, tf.int32), x),
            element_shape=[3],
            element_dtype=tf.float32,
        )
        return convolution(x + found, "Conv2D")

    graphs = [graph_of(lambda x, number=number: item(x, number)) for number in (5, [], [1, 2])]
    assert run(tmp_path, graphs) == ["result", "BackendError", "BackendError"]


def test_rounds_of_a_loop_that_is_none(tmp_path):
    graph = graph_of(lambda x: convolution(tf.raw_ops.NextIteration(data=tf.identity(x, "x")), "Conv2D"))
    assert run(tmp_path, [graph]) == ["GraphError"]


def gathering(batch_dims, rank):
    """The indices are computed, so that no constant tells their rank."""

    def network(x):
        zero = tf.minimum(tf.reduce_max(x), 0)
        indices = tf.zeros([2] * rank, tf.int32) + tf.cast(zero, tf.int32)
        found = tf.raw_ops.GatherV2(
            params=tf.ones([2] * 4) + zero, indices=indices, axis=3 + tf.cast(zero, tf.int32), name="gather"
        )
        return convolution(x + tf.reduce_sum(tf.reshape(found, [-1])), "Conv2D")

    graph = graph_of(network)
    next(node for node in graph.node if node.name == "gather").attr["batch_dims"].i = batch_dims
    return graph


def test_gathering_in_more_dimensions_than_the_indices_have(tmp_path):
    graphs = [gathering(*case) for case in [(2, 0), (2, 1), (3, 2), (5, 2), (1, 1), (2, 2), (0, 0)]]
    assert run(tmp_path, graphs) == [*["GraphError"] * 4, *["result"] * 3]
