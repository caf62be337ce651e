"""The selector "penultimate": what classifiers read, beside what TensorFlow computes there."""

from __future__ import annotations

import numpy as np
import pytest

import fne
from fne._command import main
from fne._command.comparison import comparison
from fne._selection import select

SIZE = (48, 64)


def graph_of(kind):
    """A network that ends with branches, or with a residual sum."""
    import tensorflow as tf

    random = np.random.default_rng(7)

    def conv(x, outputs, name):
        weights = random.normal(0, 0.2, (3, 3, x.shape[-1], outputs)).astype(np.float32)
        return tf.nn.conv2d(x, weights, 2 if name == "first" else 1, "SAME", name=name)

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, *SIZE, 3], "input")
        first = tf.nn.relu(conv(x / 64 - 2, 16, "first"), "first/relu")
        if kind == "branches":
            inner = tf.concat([tf.nn.relu(conv(first, 8, n), f"{n}/relu") for n in "ab"], 3, name="inner")
            pooled = tf.nn.max_pool2d(first, 3, 1, "SAME")
            last = tf.concat([inner, tf.nn.relu(conv(pooled, 4, "c"), "c/relu")], -1, name="outer")
        else:
            last = tf.nn.relu(conv(tf.nn.relu(conv(first, 16, "a"), "a/relu"), 16, "b") + first, "last")
        pool = tf.reduce_mean(last, [1, 2], name="pool")
        tf.nn.softmax(tf.matmul(pool, random.normal(0, 1, (pool.shape[1], 10)).astype(np.float32), name="fc"))
    return graph.as_graph_def()


def values(graph_def, images, tensor):
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return session.run(tensor, {"input:0": images})


@pytest.mark.parametrize(("kind", "names"), [("branches", ["a/relu", "b/relu", "c/relu"]), ("residual", ["last"])])
def test_it_is_what_the_classifier_reads(kind, names):
    graph_def = graph_of(kind)
    model = fne.Model(graph_def)
    assert [tensor.name for tensor in model.penultimate()] == names
    images = np.random.default_rng(1).uniform(0, 255, (5, *SIZE, 3)).astype(np.float32)
    with fne.Extractor(model, layers="penultimate") as extractor:
        assert [layer.name for layer in extractor.layers] == names
        features = extractor.extract(images).features
    np.testing.assert_allclose(features, values(graph_def, images, "pool:0"), rtol=1e-5, atol=1e-5)
    with fne.Extractor(model, layers=["penultimate", "first*"]) as extractor:
        assert [layer.name for layer in extractor.layers] == [*names, "first/relu"]


def test_networks_without_a_classifier(tmp_path):
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, *SIZE, 3], "input")
        tf.nn.relu(tf.nn.conv2d(x, np.ones((3, 3, 3, 4), np.float32), 1, "SAME"), "relu")
    model = fne.Model(graph.as_graph_def())
    assert model.penultimate() == []
    with pytest.raises(fne.UnknownTensorError, match="no classifier whose input 'penultimate' could select"):
        fne.Extractor(model, layers="penultimate")


def test_the_command_lists_it(tmp_path, capsys, graph):
    assert main(["layers", str(graph), "penultimate"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:-2]] == ["relu5"]
    (tmp_path / "residual.pb").write_bytes(graph_of("residual").SerializeToString())
    assert main(["layers", str(tmp_path / "residual.pb"), "penultimate"]) == 0
    assert "last" in capsys.readouterr().out.splitlines()[1]


def test_in_a_list_of_names():
    names = ["a", "b", "c"]
    assert select("penultimate", names, penultimate=[False, True, True]) == [1, 2]
    assert select(["last:50%", "penultimate"], names, [True, True, False], [True, False, False]) == [1, 0]
    with pytest.raises(fne.UnknownTensorError, match="The network knows it"):
        select("penultimate", names)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory, photographs):
    """Jobs of a residual network: the default layers, and the same with the penultimate tensor beside them."""
    folder = tmp_path_factory.mktemp("jobs")
    graph = folder / "residual.pb"
    graph.write_bytes(graph_of("residual").SerializeToString())
    plain = fne.embed_dataset(photographs, graph, folder / "plain")
    both = fne.embed_dataset(photographs, graph, folder / "both", layers=["last:100%", "penultimate"])
    return graph, plain, both


def test_a_job_keeps_it_beside_its_layers(jobs, photographs):
    """Columns are appended. Those of the default layers, their statistics and their codes stay what they are."""
    graph, plain, both = jobs
    count = plain.feature_count
    assert [layer.name for layer in both.layers] == ["first/relu", "a/relu", "b", "last"]
    assert both.feature_count == count + 16
    np.testing.assert_array_equal(both.features()[:, :count], plain.features())
    np.testing.assert_array_equal(both.codes()[:, :count], plain.codes())
    np.testing.assert_array_equal(both.stats[:, :count], plain.stats)
    with fne.Extractor(graph, layers="last") as extractor:
        np.testing.assert_array_equal(both.features("last"), extractor.extract(photographs).features)
    with both.extractor(graph) as extractor:
        np.testing.assert_array_equal(extractor.extract(photographs[:3]).features, both.features(images=slice(3)))


def test_selectors_of_a_job(jobs):
    """What a share counts, and "penultimate", are the same in all that reads a job's columns."""
    graph, plain, both = jobs
    model, columns = fne.Model(graph), slice(plain.feature_count, both.feature_count)
    assert both.columns("penultimate", model) == columns
    np.testing.assert_array_equal(both.features("penultimate", slice(3), model=graph), both.features()[:3, columns])
    np.testing.assert_array_equal(both.codes("penultimate", model=model), both.codes("last"))
    np.testing.assert_array_equal(both.ternarize(layers="penultimate", model=model), both.codes("last"))
    for share in ("last:10%", "last:50%", "last:100%"):
        np.testing.assert_array_equal(both.features(share), plain.features(share))
        np.testing.assert_array_equal(both.packed_codes().select(share).unpack(), plain.codes(share))
    assert both.features(["last:10%", "penultimate"], model=model).shape[1] == 32
    assert both.features().shape[1] == both.features("all").shape[1] == both.feature_count
    with pytest.raises(fne.UnknownTensorError, match="'penultimate' needs the job's model.*pass model="):
        both.features("penultimate")
    with pytest.raises(fne.UnknownTensorError, match=f"the job in '{plain.folder}' does not keep 'last'"):
        plain.codes("penultimate", model=model)
    with pytest.raises(fne.JobMismatchError, match="the model is not the one"):
        both.features("all", model=graph_of("branches"))


def test_what_a_search_compares(jobs):
    _, plain, both = jobs
    assert comparison(plain).layers == comparison(both).layers == ["b"], "the tensor beside the layers is not the last"
    assert comparison(both, "last:100%").layers == ["first/relu", "a/relu", "b"]
    assert comparison(both, "all").layers == ["first/relu", "a/relu", "b", "last"]
    assert comparison(both, ["penultimate"], penultimate=lambda: ["last"]).layers == ["last"]
    assert comparison(both, ["last:50%", "penultimate"], penultimate=lambda: ["last"]).layers == ["a/relu", "b", "last"]
    with pytest.raises(fne.UnknownTensorError, match="does not keep 'last'.*--layers last:100% --layers penultimate"):
        comparison(plain, "penultimate", penultimate=lambda: ["last"])
    with pytest.raises(fne.UnknownTensorError, match="no classifier"):
        comparison(plain, "penultimate", penultimate=list)


def test_search_by_it(jobs, photographs, capsys):
    graph, plain, both = jobs
    query = photographs[4]
    command = [str(query), "--model", str(graph), "-k", "4", "--layers", "penultimate", "--metric", "centred"]
    assert main(["search", str(both.folder), *command]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "by the cosine of the codes less their mean of 1 of 4 layers (penultimate), 24 images"
    codes = np.array(both.codes("last")).astype(np.float64)
    codes -= codes.mean(0)
    cosines = codes @ codes[4] / np.linalg.norm(codes, axis=1) / np.linalg.norm(codes[4])
    best = np.argsort(-cosines, kind="stable")[:4]
    assert [float(line.split()[0]) for line in lines[2:]] == pytest.approx(cosines[best].tolist(), abs=1e-4)
    assert main(["search", str(plain.folder), *command]) == 1
    assert "does not keep 'last'" in capsys.readouterr().err
