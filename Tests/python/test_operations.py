"""The list of operations, compared with all that TensorFlow registers, and with what TensorFlow computes."""

from __future__ import annotations

import collections
import ctypes
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from tensorflow.core.framework import op_def_pb2

import fne

TABLE = ROOT / "Tests/operations/tensorflow-2.21.tsv"
ROWS = [[*line.split("\t"), ""][:4] for line in TABLE.read_text().splitlines()]
VERDICTS = {name: verdict for name, _, verdict, _ in ROWS}
ALLOWED = {"computes", "random", "reports"}


class Buffer(ctypes.Structure):
    """TF_Buffer."""

    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("free", ctypes.c_void_p)]


@pytest.fixture(scope="module")
def registered():
    """What TensorFlow registers, but for libfne's own operations, which another test may have registered."""
    library = ctypes.CDLL(str(Path(tf.__file__).parent / "libtensorflow_cc.so.2"))
    library.TF_GetAllOpList.restype = ctypes.POINTER(Buffer)
    buffer = library.TF_GetAllOpList().contents
    operations = op_def_pb2.OpList.FromString(ctypes.string_at(buffer.data, buffer.length)).op
    return {operation.name: operation for operation in operations if not operation.name.startswith("Fne")}


def test_every_operation_was_reviewed(registered):
    assert tf.__version__.startswith("2.21.")
    assert len(VERDICTS) == len(ROWS) and [row[0] for row in ROWS] == sorted(VERDICTS)
    assert set(VERDICTS) == set(registered)
    assert set(VERDICTS.values()) == {*ALLOWED, "unfrozen", "refused"}


def test_what_is_stateful_and_allowed_has_a_reason(registered):
    stateful = {name for name, operation in registered.items() if operation.is_stateful}
    reasons = {name for name, _, _, note in ROWS if note}
    assert reasons == {name for name in stateful if VERDICTS[name] in ALLOWED}


def found(operation):
    """What libfne says of a graph of one operation."""
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="image", op="Placeholder").attr["dtype"].type = 1
    graph.node.add(name="x", op=operation)
    try:
        fne.Extractor(graph, "image", "x", (8, 8))
    except fne.UnsafeGraphError as error:
        assert f"node 'x' is a '{operation}'" in str(error) and "allow_unsafe" in str(error)
        return "refused"
    except fne.FNEError as error:  # "unfrozen", or an operation that is allowed, but not alone
        if "not frozen" in str(error):
            assert f"node 'x' is a '{operation}'" in str(error) and "allow_unsafe" not in str(error)
            return "unfrozen"
    return "allowed"


def test_the_library_does_as_the_table_says():
    # Reports are left out of a graph, so that a graph of one of them is none.
    told = {name: "allowed" if verdict in ALLOWED else verdict for name, verdict in VERDICTS.items()}
    wrong = {name: found(name) for name in told if VERDICTS[name] != "reports" and found(name) != told[name]}
    assert wrong == {}


def test_the_page_has_the_same_groups():
    groups = collections.Counter((group, verdict) for _, group, verdict, _ in ROWS)
    parts = (ROOT / "docs/operations.md").read_text().split("\n## ")
    pages = {part.splitlines()[0]: dict(re.findall(r"^\| (.+?) \| (\d+) \|", part, re.MULTILINE)) for part in parts}
    titles = {"computes": "Allowed", "random": "Allowed", "reports": "Allowed"}
    titles |= {"unfrozen": "Not frozen", "refused": "Refused"}
    told = collections.defaultdict(dict)
    for (group, verdict), count in groups.items():
        told[titles[verdict]][group] = str(count)
    assert told == {title: pages[title] for title in set(titles.values())}


def test_several_outputs_have_the_names_of_tensorflow(registered):
    """A function's body reads an output by its name."""
    source = (ROOT / "Sources/FNENetwork/Graph/OperationOutputs.swift").read_text()
    table = {name: re.findall(r'"(\w+)"', names) for name, names in re.findall(r'"(\w+)": \[([^\]]*)\]', source)}
    several = {name: [output.name for output in operation.output_arg] for name, operation in registered.items()}
    assert {name: names for name, names in table.items() if names} == {
        name: several[name] for name in table if table[name]
    }
    missing = {name for name, outputs in several.items() if len(outputs) > 1 and VERDICTS[name] in ALLOWED} - set(table)
    assert missing == set()


# ---- what graphs with these operations compute


def features(graph, images, **options):
    with fne.Extractor(fne.Model(graph), size=images.shape[1:3], **options) as extractor:
        return extractor.extract(images).features


def means(graph, images, tensors):
    """The same features as TensorFlow computes them."""
    with tf.Graph().as_default() as imported, tf.compat.v1.Session(graph=imported) as session:
        tf.import_graph_def(graph, name="")
        maps = session.run(tensors, {"input:0": images})
    return np.concatenate([np.float64(array).mean(tuple(range(1, array.ndim - 1))) for array in maps], 1)


def convolution(x, name, channels=6):
    random = np.random.default_rng(len(name))
    weights = random.normal(0, 0.3, (3, 3, x.shape[-1], channels)).astype(np.float32)
    return tf.nn.relu(tf.nn.conv2d(x, weights, 1, "SAME", name=name), name + "/relu")


def colours(x):
    y = tf.image.hsv_to_rgb(tf.image.rgb_to_hsv(x / 255))
    y = tf.image.adjust_contrast(tf.image.adjust_saturation(tf.image.adjust_hue(y, 0.1), 1.3), 1.2)
    return convolution(y, "first")


def patches(x):
    y = tf.image.extract_patches(convolution(x, "first"), [1, 2, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1], "VALID")
    return convolution(y, "second")


def rolled(x):
    return convolution(tf.roll(convolution(x, "first"), [3, -2], [1, 2]), "second")


def mapped(x):
    """tf.map_fn over the batch, whose list is a TensorArray of TensorFlow 1."""
    tf.compat.v1.disable_control_flow_v2()
    y = tf.map_fn(lambda image: image - tf.reduce_mean(image), convolution(x, "first"))
    tf.compat.v1.enable_control_flow_v2()
    return convolution(tf.reshape(y, [-1, 12, 10, 6]), "second")


def listed(x):
    """tf.map_fn over the batch, whose list is a TensorList, in a loop of functions."""
    tf.compat.v1.enable_control_flow_v2()
    y = tf.map_fn(lambda image: image - tf.reduce_mean(image), convolution(x, "first"))
    return convolution(tf.reshape(y, [-1, 12, 10, 6]), "second")


def scattered(x):
    y = convolution(x, "first")
    y = tf.dynamic_stitch(
        [[0, 2, 4], [1, 3, 5]], [tf.transpose(y, [3, 0, 1, 2])[:3], tf.transpose(y, [3, 0, 1, 2])[3:]]
    )
    y = tf.math.unsorted_segment_sum(y, [0, 1, 1, 2, 0, 2], 3)
    return convolution(tf.transpose(y, [1, 2, 3, 0]), "second")


def transformed(x):
    y = convolution(x, "first")
    y = tf.abs(tf.signal.fft2d(tf.cast(tf.transpose(y, [0, 3, 1, 2]), tf.complex64)))
    y = tf.math.bessel_i0e(tf.transpose(y, [0, 2, 3, 1]) / 100)
    q, _ = tf.linalg.qr(tf.constant(np.random.default_rng(3).normal(size=(6, 6)).astype(np.float32)))
    return convolution(tf.einsum("nhwc,cd->nhwd", y, q), "second")


@pytest.mark.parametrize("build", [colours, patches, rolled, mapped, listed, scattered, transformed])
def test_features_of_what_joined_the_list(build):
    with tf.Graph().as_default() as graph:
        y = build(tf.compat.v1.placeholder(tf.float32, [None, 12, 10, 3], "input"))
        tf.identity(y, "top")
    images = np.random.default_rng(1).uniform(0, 255, (5, 12, 10, 3)).astype(np.float32)
    layers = [layer.name + ":0" for layer in fne.Model(graph.as_graph_def()).layers()]
    assert layers and layers[-1] == y.name
    expected = means(graph.as_graph_def(), images, layers)
    np.testing.assert_allclose(features(graph.as_graph_def(), images), expected, rtol=2e-4, atol=2e-5)


def test_random_numbers_run():
    """Dropout that a graph holds for good. Its mean over many values is that without it."""
    with tf.Graph().as_default() as graph:
        y = convolution(tf.compat.v1.placeholder(tf.float32, [None, 64, 64, 3], "input"), "first")
        kept = tf.floor(0.5 + tf.random.uniform(tf.shape(y))) * y / 0.5
        y = convolution(kept, "second")
    images = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    first, second = (features(graph.as_graph_def(), images, layers=["second*"]) for _ in range(2))
    assert first.shape[1] and not np.array_equal(first, second)
    np.testing.assert_allclose(first, second, rtol=0.1, atol=1)


# ---- what is not frozen


def unfrozen_graphs():
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "input")
        tf.nn.conv2d(x, tf.compat.v1.get_variable("w", [3, 3, 3, 4], use_resource=False), 1, "SAME")
        yield graph.as_graph_def(), "'w' is a 'VariableV2'"
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "input")
        tf.nn.conv2d(x, tf.compat.v1.get_variable("w", [3, 3, 3, 4], use_resource=True), 1, "SAME")
        yield graph.as_graph_def(), "'w' is a 'VarHandleOp'"
    with tf.Graph().as_default() as graph:
        images = tf.data.Dataset.from_tensors(np.zeros((1, 8, 8, 3), np.float32))
        x = tf.compat.v1.data.make_one_shot_iterator(images).get_next()
        tf.nn.conv2d(x, np.ones((3, 3, 3, 4), np.float32), 1, "SAME")
        yield graph.as_graph_def(), "Iterator"


def input_of(graph):
    """The placeholder of the images; the tensor that a network without one gets them from is no input."""
    return next((node.name for node in graph.node if node.op == "Placeholder"), graph.node[0].name)


def test_a_graph_that_is_not_frozen_says_so():
    for graph, node in unfrozen_graphs():
        # By default such a graph has no layer at all, since its weights are no constants.
        for options in [{"layers": "Conv2D"}, {}] if "'w'" in node else [{"layers": "Conv2D"}]:
            with pytest.raises(fne.GraphError, match="not frozen") as caught:
                fne.Extractor(graph, input_of(graph), size=(8, 8), **options)
        message = str(caught.value)
        assert not isinstance(caught.value, fne.UnsafeGraphError) and node in message
        assert "convert_variables_to_constants" in message and "folder" in message and "allow_unsafe" not in message


# ---- allow_unsafe


def run(*arguments):
    command = [sys.executable, "-m", "fne", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_allow_unsafe_on_the_command_line(tmp_path, photographs):
    """A convolution that waits for an operation that is not on the list, the time of day."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 16, 16, 3], "input")
        with tf.control_dependencies([tf.raw_ops.Timestamp(name="spy")]):
            convolution(tf.identity(x), "first")
    network = tmp_path / "network.pb"
    network.write_bytes(graph.as_graph_def().SerializeToString())
    folder, job, flag = photographs[0].parent, tmp_path / "job", "--allow-unsafe"
    for command in (
        ["embed", folder, network, job, "--codes", "packed"],
        ["search", job, photographs[0], "--model", network, "-k", "1"],
    ):
        refused = run(*command)
        assert refused.returncode == 1 and "'spy' is a 'Timestamp'" in refused.stderr, refused.stderr
        taken = run(*command, flag)
        assert taken.returncode == 0, taken.stderr
    assert run("layers", network).returncode == 0, "which runs nothing"
    assert fne.Job(job).state == "finished" and photographs[0].name in taken.stdout
    assert flag in run("evaluate", "--help").stdout
