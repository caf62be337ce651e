"""SavedModels of TensorFlow 1 and 2, against TensorFlow's own results."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tensorflow as tf

import fne
from fne import _model_source
from fne._command import main

v1 = tf.compat.v1
SIDE = 24


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FNE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(2).integers(0, 256, (3, SIDE, SIDE, 3)).astype(np.float32)


def weights(*shape, seed=5):
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


def variable(name, value, kind):
    """A variable of TensorFlow 1: "reference" ones are of the kind that it had first."""
    return v1.Variable(value, name=name, use_resource=kind == "resource")


def network(images, kind="resource", seed=5):
    """A convolution and a dense layer, in a graph of TensorFlow 1."""
    x = tf.cast(images, tf.float32) / 255
    x = tf.nn.relu(tf.nn.conv2d(x, variable("w", weights(3, 3, 3, 8, seed=seed), kind), 2, "VALID"), "maps")
    return tf.nn.relu(tf.matmul(tf.reduce_mean(x, [1, 2]), variable("w2", weights(8, 6), kind)), "dense")


def save_v1(folder, dtype=tf.float32, kind="resource", tags=("serve",), training=False):
    """Writes a SavedModel of TensorFlow 1. Returns a function that gives pooled maps and dense features of images."""
    graph = tf.Graph()
    with graph.as_default():
        inputs = {"images": v1.placeholder(dtype, [None, SIDE, SIDE, 3], "pictures")}
        dense = network(inputs["images"], kind)
        if training:
            inputs["training"] = v1.placeholder(tf.bool, [], "training")
            dense = tf.where(inputs["training"], dense * 2, dense, name="switched")
        pooled = tf.reduce_mean(graph.get_tensor_by_name("maps:0"), [1, 2])
        session = v1.Session()
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.predict_signature_def(inputs, {"dense": dense})
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, list(tags), {"serving_default": signature})
        builder.save()
    fixed = {inputs["training"]: False} if training else {}
    return lambda images: np.concatenate(session.run([pooled, dense], {inputs["images"]: images, **fixed}), 1)


def frozen(model):
    """The nodes of a model that was frozen, by their names."""
    folder, options, _ = model._origin
    source = _model_source.frozen(folder, options["signature"], options["tags"])
    graph = v1.GraphDef.FromString(source.graph.read_bytes())
    return {node.name: node for node in graph.node}


def placeholders(model):
    return {
        name: (tf.as_dtype(node.attr["dtype"].type).name, tf.TensorShape(node.attr["shape"].shape).as_list())
        for name, node in frozen(model).items()
        if node.op.startswith("Placeholder")
    }


@pytest.mark.parametrize("kind", ["reference", "resource"])
def test_variables_of_tensorflow_1(kind, tmp_path, batch):
    expected = save_v1(tmp_path / "saved", kind=kind)(batch)
    opened = fne.Model(tmp_path / "saved")
    assert [layer.name for layer in opened.layers()] == ["maps", "dense"]
    with fne.Extractor(opened, "pictures") as extractor:
        np.testing.assert_allclose(extractor.extract(batch).features, expected, rtol=1e-5, atol=1e-6)
    operations = {node.op for node in frozen(opened).values()}
    assert not operations & {"VariableV2", "VarHandleOp", "ReadVariableOp", "RestoreV2"}


def test_uint8_images(tmp_path):
    save_v1(tmp_path / "one", tf.uint8)
    assert placeholders(fne.Model(tmp_path / "one")) == {"pictures": ("uint8", [None, SIDE, SIDE, 3])}
    module = tf.Module()
    module.weights = tf.Variable(weights(3, 3, 3, 8))
    spec = tf.TensorSpec([None, SIDE, SIDE, 3], tf.uint8, name="image")
    run = tf.function(lambda image: tf.nn.conv2d(tf.cast(image, tf.float32), module.weights, 1, "SAME"))
    tf.saved_model.save(module, tmp_path / "two", signatures=run.get_concrete_function(spec))
    assert placeholders(fne.Model(tmp_path / "two")) == {"input": ("uint8", [None, SIDE, SIDE, 3])}


def test_a_training_flag(tmp_path):
    save_v1(tmp_path / "one", training=True)
    flag = ("bool", [])
    images = ("float32", [None, SIDE, SIDE, 3])
    assert placeholders(fne.Model(tmp_path / "one")) == {"pictures": images, "training": flag}
    module = tf.Module()
    module.kernel = tf.Variable(weights(3, 3, 3, 8))

    def run(images, training):
        maps = tf.nn.relu(tf.nn.conv2d(images, module.kernel, 1, "SAME"))
        return {"maps": tf.where(training, maps * 2, maps)}

    module.run = tf.function(run, input_signature=[tf.TensorSpec(images[1]), tf.TensorSpec([], tf.bool)])
    tf.saved_model.save(module, tmp_path / "two", signatures=module.run)
    assert placeholders(fne.Model(tmp_path / "two")) == {"images": images, "training": flag}


def save_signatures(folder, names=("first", "second")):
    """Writes a SavedModel of TensorFlow 2 whose signature number i multiplies images by i + 1 before a convolution."""
    module = tf.Module()
    module.kernel = tf.Variable(weights(3, 3, 3, 8))

    def function(factor):
        return tf.function(
            lambda images: {"maps": tf.nn.relu(tf.nn.conv2d(images * factor, module.kernel, 1, "SAME"))},
            input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3])],
        )

    functions = {name: function(number + 1.0) for number, name in enumerate(names)}
    vector = tf.function(lambda x: {"y": x * 2}, input_signature=[tf.TensorSpec([None, 5], name="x")])
    tf.saved_model.save(module, folder, signatures={**functions, "vector": vector})
    return lambda images, factor: np.maximum(tf.nn.conv2d(images * factor, module.kernel, 1, "SAME").numpy(), 0).mean(
        (1, 2)
    )


def test_signatures(tmp_path, batch, capsys):
    folder = tmp_path / "saved"
    expected = save_signatures(folder)
    for number, name in enumerate(("first", "second"), 1):
        with fne.Extractor(fne.Model(folder, signature=name)) as extractor:
            rows = extractor.extract(batch).features
        np.testing.assert_allclose(rows, expected(batch, number), rtol=1e-4, atol=1e-4)
    with pytest.raises(fne.InvalidArgumentError, match="several.*'first' takes images.*'second' takes.*'vector'"):
        fne.Model(folder)
    with pytest.raises(fne.InvalidArgumentError, match="no signature 'third'.*'first' takes images.*'second'"):
        fne.Model(folder, signature="third")
    with pytest.raises(fne.TensorError, match=r"'vector'.*x \(float32, \(None, 5\)\).*images are needed.*'first'"):
        fne.Model(folder, signature="vector")
    assert main(["layers", str(folder), "--signature", "second"]) == 0
    assert "1 default layers, 8 features" in capsys.readouterr().out
    assert main(["layers", str(folder)]) == 1
    assert "Pass the signature to take: 'first'" in capsys.readouterr().err


def test_serving_default_comes_first(tmp_path, batch):
    expected = save_signatures(tmp_path / "saved", ("other", "serving_default"))
    with fne.Extractor(tmp_path / "saved") as extractor:
        np.testing.assert_allclose(extractor.extract(batch).features, expected(batch, 2), rtol=1e-4, atol=1e-4)


def test_a_model_with_a_signature_is_pickled(tmp_path):
    import copy

    save_signatures(tmp_path / "saved")
    opened = fne.Model(tmp_path / "saved", signature="second")
    assert copy.deepcopy(opened).sha256() == opened.sha256()


def test_no_signature(tmp_path):
    tf.saved_model.save(tf.Module(), tmp_path / "saved")
    with pytest.raises(fne.GraphError, match=r"no signature\. Save it with one: tf\.saved_model\.save"):
        fne.Model(tmp_path / "saved")


def test_tags(tmp_path, batch, capsys):
    folder = tmp_path / "saved"
    builder = v1.saved_model.Builder(str(folder))
    for number, tags in enumerate((["train"], ["train", "gpu"])):
        with tf.Graph().as_default(), v1.Session() as session:
            images = v1.placeholder(tf.float32, [None, SIDE, SIDE, 3], f"pictures{number}")
            signature = v1.saved_model.predict_signature_def({"images": images}, {"dense": network(images)})
            session.run(v1.global_variables_initializer())
            if number == 0:
                builder.add_meta_graph_and_variables(session, tags, {"serving_default": signature})
            else:
                builder.add_meta_graph(tags, {"serving_default": signature})
    builder.save()
    for tags, name in ((["train"], "pictures0"), ("train", "pictures0"), (["gpu", "train"], "pictures1")):
        assert list(placeholders(fne.Model(folder, tags=tags))) == [name]
    with pytest.raises(fne.InvalidArgumentError, match="tags 'serve'.*one of its 2 graphs: 'train'; 'gpu', 'train'"):
        fne.Model(folder)
    assert main(["layers", str(folder), "--tags", "train,gpu"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("tags", [(), ("other",)])
def test_the_only_graph_whatever_its_tags(tags, tmp_path, batch):
    expected = save_v1(tmp_path / "saved", tags=tags)(batch)
    with fne.Extractor(tmp_path / "saved") as extractor:
        np.testing.assert_allclose(extractor.extract(batch).features, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("version", [1, 2])
def test_without_variables(version, tmp_path):
    folder = tmp_path / "saved"
    save_v1(folder) if version == 1 else save_signatures(folder, ("serving_default",))
    shutil.rmtree(folder / "variables")
    with pytest.raises(fne.FileError, match=r"has no variables.*copy it together with saved_model\.pb"):
        fne.Model(folder)


def test_damaged_ones(tmp_path):
    save_v1(tmp_path / "saved")
    (tmp_path / "saved" / "variables" / "variables.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(fne.GraphError, match="cannot be loaded") as caught:
        fne.Model(tmp_path / "saved")
    assert "\n" not in str(caught.value)
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"nothing")
    with pytest.raises(fne.GraphError, match="cannot be loaded"):
        fne.Model(tmp_path / "saved")


def test_choices_are_for_saved_models(graph):
    for source in (graph, graph.read_bytes()):
        with pytest.raises(fne.InvalidArgumentError, match="for a SavedModel's folder"):
            fne.Model(source, signature="serving_default")
        with pytest.raises(fne.InvalidArgumentError, match="for a SavedModel's folder"):
            fne.Model(source, tags=["serve"])
