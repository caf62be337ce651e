"""Values for inputs beside the image become constants, and what follows from these is simplified."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compat import v1

import fne
from fne._command import main

SIZE = (16, 18)


@pytest.fixture
def pixels():
    return np.random.default_rng(3).integers(0, 256, (5, *SIZE, 3), np.uint8)


def weights(*shape):
    return (np.random.default_rng(len(shape)).normal(size=shape) / 8).astype(np.float32)


def normalized(x, training, name):
    """Batch normalization as TensorFlow 1 programs chose it, by a condition."""
    gamma, beta, mean, variance = (np.abs(weights(4, x.shape[-1], seed)[0, :, 0]) + 0.5 for seed in (1, 2, 3, 4))

    def now():
        return v1.nn.fused_batch_norm(x, gamma, beta, is_training=True)[0]

    def before():
        return v1.nn.fused_batch_norm(x, gamma, beta, mean, variance, is_training=False)[0]

    return v1.cond(training, now, before, name=name)


def network(training, keep):
    """The graph that `training` and `keep` make; each is called for its tensor."""
    with v1.Graph().as_default() as own:
        v1.disable_control_flow_v2()
        x = v1.placeholder(tf.float32, [None, *SIZE, 3], name="x")
        flag, share = training(), keep()
        y = tf.nn.relu(normalized(tf.nn.conv2d(x, weights(3, 3, 3, 8), 1, "SAME", name="c1"), flag, "n1"), "r1")
        y = tf.nn.relu(normalized(tf.nn.conv2d(y, weights(3, 3, 8, 6), 2, "SAME", name="c2"), flag, "n2"), "r2")
        y = tf.reduce_mean(y, [1, 2])
        y = v1.nn.dropout(y, keep_prob=share)
        y = tf.nn.relu(tf.matmul(y, weights(6, 7)), "fc")
        noise = tf.floor(tf.random.uniform(tf.shape(y)) + share)  # the dropout of old programs
        tf.nn.softmax(tf.matmul(y / share * noise, weights(7, 3)), name="prob")
    v1.enable_control_flow_v2()
    return own.as_graph_def()


def placeholders():
    return network(
        lambda: v1.placeholder(tf.bool, [], name="phase_train"), lambda: v1.placeholder(tf.float32, name="keep_prob")
    )


def constants():
    return network(lambda: tf.constant(False), lambda: tf.constant(1.0))


FEEDS = {"phase_train": False, "keep_prob": 1.0}


def run(graph, tensors, pixels, feeds):
    with v1.Graph().as_default() as own, v1.Session(graph=own) as session:
        tf.import_graph_def(graph, name="")
        fed = {name + ":0": value for name, value in {"x": pixels.astype(np.float32), **feeds}.items()}
        found = session.run([name + ":0" for name in tensors], fed)
    return np.concatenate([value.mean((1, 2)) if value.ndim == 4 else value for value in found], 1)


@pytest.mark.parametrize("way", ["model", "extractor", "texts"])
def test_conditions_and_dropouts_disappear(pixels, way):
    graph = placeholders()
    texts = ["phase_train=false", "keep_prob=1"]
    model = fne.Model(graph, feeds=FEEDS if way == "model" else texts if way == "texts" else None)
    with fne.Extractor(model, "x", feeds=FEEDS if way == "extractor" else None) as extractor:
        assert [layer.name for layer in extractor.layers] == ["r1", "r2", "fc"]
        found = extractor.extract(list(pixels)).features
    np.testing.assert_allclose(found, run(graph, ["r1", "r2", "fc"], pixels, FEEDS), rtol=1e-4, atol=1e-3)
    if way != "extractor":
        assert not {"Switch", "Merge", "SelectV2"} & {tensor.operation for tensor in model.tensors()}


def test_no_random_numbers_are_drawn():
    """The dropouts of rate 0 are gone, so that nothing is said of random numbers."""
    logged = []
    fne.set_log_callback(lambda level, text: logged.append(text))
    try:
        fne.Extractor(placeholders(), "x", ["prob"], feeds=FEEDS).close()
        assert not logged
        fne.Extractor(placeholders(), "x", ["prob"], feeds={**FEEDS, "keep_prob": 0.5}).close()
        assert len(logged) == 1 and "draws random numbers in 2 nodes" in logged[0]
    finally:
        fne.set_log_callback(None)


def test_constants_do_the_same(pixels):
    graph = constants()
    with fne.Extractor(graph, "x") as extractor:
        assert [layer.name for layer in extractor.layers] == ["r1", "r2", "fc"]
        found = extractor.extract(list(pixels)).features
    np.testing.assert_allclose(found, run(graph, ["r1", "r2", "fc"], pixels, {}), rtol=1e-4, atol=1e-3)


def test_a_default_is_a_value(pixels):
    graph = network(
        lambda: v1.placeholder_with_default(False, [], name="phase_train"),
        lambda: v1.placeholder_with_default(1.0, [], name="keep_prob"),
    )
    with fne.Extractor(graph, "x") as extractor:
        assert [layer.name for layer in extractor.layers] == ["r1", "r2", "fc"]
        found = extractor.extract(list(pixels)).features
    np.testing.assert_allclose(found, run(graph, ["r1", "r2", "fc"], pixels, {}), rtol=1e-4, atol=1e-3)
    # A value takes the place of the default. The branch for training normalizes by the batch.
    layers = ["c1", "r1"]
    with fne.Extractor(graph, "x", layers, feeds={"phase_train": True}, batch_size=5, streams=1) as extractor:
        found = extractor.extract(list(pixels)).features
    np.testing.assert_allclose(found, run(graph, layers, pixels, {"phase_train": True}), rtol=1e-4, atol=1e-3)


def test_an_input_without_a_value_is_named():
    with pytest.raises(fne.InvalidArgumentError) as caught:
        fne.Extractor(placeholders(), "x")
    assert "'phase_train' (bool, a single value)" in str(caught.value)
    assert "such as phase_train=false" in str(caught.value)
    with pytest.raises(fne.InvalidArgumentError, match=r"'keep_prob' \(float32, any shape\).*such as keep_prob=1"):
        fne.Extractor(placeholders(), "x", ["prob"], feeds={"phase_train": False})
    # A layer that does not need the input needs no value.
    assert fne.Extractor(placeholders(), "x", "c1").feature_count == 8


def metadata():
    with v1.Graph().as_default() as own:
        x = v1.placeholder(tf.float32, [None, *SIZE, 3], name="x")
        facts = v1.placeholder(tf.float32, [None, 4], name="facts")
        table = v1.placeholder(tf.int32, [2, 2], name="table")
        y = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 3, 8), 1, "SAME"), "r1"), [1, 2])
        y = tf.concat([y, facts], 1) * (1 + tf.cast(tf.reduce_sum(table[0]), tf.float32))
        tf.nn.relu(tf.matmul(y, weights(12, 5)), "fc")
    return own.as_graph_def()


@pytest.mark.parametrize("pads", [False, True])
def test_a_vector_is_given_to_each_image(pixels, pads):
    graph = metadata()
    facts, table = np.array([0.5, -1, 2e-7, 3], np.float32), np.array([[2, 5], [-1, 9]])
    with fne.Extractor(graph, "x", feeds={"facts": facts, "table": table}, pad_batches=pads) as extractor:
        found = extractor.extract(list(pixels)).features
    wanted = run(graph, ["r1", "fc"], pixels, {"facts": np.tile(facts, (len(pixels), 1)), "table": table})
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)
    with fne.Extractor(graph, "x", feeds=["facts=0.5,-1,2e-7,3", "table=[[2,5],[-1,9]]"]) as extractor:
        np.testing.assert_allclose(extractor.extract(list(pixels)).features, wanted, rtol=1e-4, atol=1e-3)
    with pytest.raises(fne.InvalidArgumentError, match=r"'facts' \(float32, shape \[\?, 4\]\).*facts=0,0,0,0"):
        fne.Extractor(graph, "x", feeds={"table": table})


@pytest.mark.parametrize(
    ("feeds", "error", "message"),
    [
        ({"phase": False}, fne.UnknownTensorError, "no tensor 'phase'"),
        ({"phase_train": 2}, fne.InvalidArgumentError, "'phase_train' has the value 2.0, which is no bool"),
        (
            {"phase_train": [True, False]},
            fne.InvalidArgumentError,
            r"shape \[2\], but the graph's input has shape \[\]",
        ),
        ({"phase_train": "no"}, TypeError, "'phase_train' is of type"),
        (["phase_train"], fne.InvalidArgumentError, "must be a name, =, and a value"),
        (["=1"], fne.InvalidArgumentError, "must be a name, =, and a value"),
        (["phase_train=maybe"], fne.InvalidArgumentError, "'phase_train' has the value 'maybe'"),
        (["keep_prob=[[1],[2,3]]"], fne.InvalidArgumentError, "arrays of equal lengths"),
        (["keep_prob=1", "import/keep_prob:0=1"], fne.InvalidArgumentError, "fed twice"),
        (["n1/Switch:1=true"], fne.InvalidArgumentError, "only the first output"),
        ("phase_train=false", TypeError, "feeds are a dict"),
    ],
)
def test_bad_feeds(feeds, error, message):
    with pytest.raises(error, match=message):
        fne.Model(placeholders(), feeds=feeds)


def test_any_tensor_can_be_given(pixels):
    """A value in place of what the graph computes."""
    graph = placeholders()
    found = fne.Extractor(graph, "x", "fc", feeds={**FEEDS, "Mean": np.ones((1, 6))}).extract(list(pixels[:1])).features
    np.testing.assert_allclose(found, np.maximum(weights(6, 7).sum(0, keepdims=True), 0), rtol=1e-5, atol=1e-6)


def test_the_command(tmp_path, capsys):
    (tmp_path / "g.pb").write_bytes(placeholders().SerializeToString())
    assert main(["layers", str(tmp_path / "g.pb"), "--feed", "phase_train=false", "--feed", "keep_prob=1"]) == 0
    said = capsys.readouterr().out
    assert "3 default layers, 21 features" in said and "r1" in said and "r2" in said


def test_a_job_keeps_its_feeds(tmp_path, pixels):
    import json

    import cv2

    for number, image in enumerate(pixels):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image[..., ::-1])
    graph = placeholders()
    options = {"input_tensor": "x", "codes": None}
    job = fne.embed_dataset(tmp_path, graph, tmp_path / "job", feeds=FEEDS, **options)
    np.testing.assert_allclose(job.features(), run(graph, ["r1", "r2", "fc"], pixels, FEEDS), rtol=1e-4, atol=1e-3)
    manifest = json.loads((tmp_path / "job/manifest.json").read_text())
    assert manifest["settings"]["model"]["feeds"] == ["keep_prob=1.0", "phase_train=false"]
    with pytest.raises(fne.JobMismatchError):
        options["allow_batch_statistics"] = True
        fne.embed_dataset(tmp_path, graph, tmp_path / "job", feeds={**FEEDS, "phase_train": True}, **options)
