"""Networks that stay prepared between calls: the same numbers as those of a first call, whatever changes in between."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import textwrap
import threading

import keras
import numpy as np
import onnx
import onnx_networks
import pytest

import fne
from fne import _prepared

SIZE = (48, 64)

pytestmark = pytest.mark.filterwarnings("ignore::fne.FewImagesWarning")


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """The extractors that were opened. Files count as settled at once."""
    made = []

    class Counted(fne.Extractor):
        def __init__(self, *arguments, **options):
            made.append(arguments)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(_prepared, "Extractor", Counted)
    monkeypatch.setattr(_prepared, "_SETTLED", 0.0)
    fne.clear_prepared()
    yield made
    fne.clear_prepared()


def embedded(network, images, size=SIZE, **options):
    codes, stats = fne.full_network_embedding(network, images, 4, None, None, size, **options)
    return np.concatenate([codes, stats])


def fresh(network, images, size=SIZE, **options):
    """What an extractor that was just opened gives, by other functions."""
    with fne.Extractor(network, size=size, **options) as extractor:
        rows = extractor.extract(images).features
    statistics = fne.Statistics(rows.shape[1]).update(rows)
    stats = np.stack([statistics.mean(), statistics.std()])
    return np.concatenate([fne.ternarize(rows, *stats).astype(float), stats])


def test_a_second_call_opens_nothing_and_gives_the_same(graph, network, photographs, opened):
    model = fne.Model(graph)
    for source in (graph, str(graph), graph.read_bytes(), network[0], model):
        first = embedded(source, photographs[:8])
        np.testing.assert_array_equal(first, fresh(graph, photographs[:8]))
        np.testing.assert_array_equal(embedded(source, photographs[:8]), first)
    assert len(opened) == 3, "the path, the bytes and the GraphDef of the same bytes, and the model"
    model.close()
    with pytest.raises(fne.InvalidArgumentError, match="closed"):
        embedded(model, photographs[:8])


def test_other_options_are_another_extractor(graph, photographs, opened):
    options = [{}, {"preset": "caffe"}, {"preset": fne.Preprocessing(mean=3.0)}, {"on_error": "skip"}]
    results = [embedded(graph, photographs[:6], **each) for each in options]
    assert len(opened) == 4
    for each, result in zip(options, results, strict=True):
        np.testing.assert_array_equal(embedded(graph, photographs[:6], **each), result)
    assert len(opened) == 4
    layers = ["relu1"]
    first, _ = fne.full_network_embedding(graph, photographs[:6], 4, None, layers, SIZE)
    layers.append("relu5")
    second, _ = fne.full_network_embedding(graph, photographs[:6], 4, None, layers, SIZE)
    assert (first.shape[1], second.shape[1]) == (24, 56)


def test_few_are_kept(graph, photographs, opened, monkeypatch):
    for mean in range(7):
        embedded(graph, photographs[:2], preset=fne.Preprocessing(mean=float(mean)))
    assert len(_prepared._kept) == 4
    embedded(graph, photographs[:2], preset=fne.Preprocessing(mean=6.0))
    assert len(opened) == 7
    embedded(graph, photographs[:2], preset=fne.Preprocessing(mean=0.0))
    assert len(opened) == 8
    monkeypatch.setattr(_prepared, "_MOST_BYTES", 1)
    embedded(graph, photographs[:2], preset=fne.Preprocessing(mean=9.0))
    assert len(_prepared._kept) == 1
    fne.clear_prepared()
    assert not _prepared._kept


def changed(network):
    """The same GraphDef with half of the weights of the first convolution. It has the same size."""
    other = copy.deepcopy(network)
    constants = [node.attr["value"].tensor for node in other.node if node.op == "Const"]
    weights = next(tensor for tensor in constants if tensor.tensor_content)
    weights.tensor_content = (np.frombuffer(weights.tensor_content, np.float32) / 2).tobytes()
    return other


def test_a_changed_graphdef_is_noticed(network, photographs):
    graph = copy.deepcopy(network[0])
    first = embedded(graph, photographs[:6])
    graph.CopyFrom(changed(graph))
    second = embedded(graph, photographs[:6])
    np.testing.assert_array_equal(second, fresh(graph, photographs[:6]))
    assert (first != second).any()


@pytest.mark.parametrize("how", ["in place", "replaced"])
def test_a_changed_file_is_noticed(network, photographs, tmp_path, how):
    """Also where it has the same size and the same time of change."""
    path = tmp_path / "network.pb"
    path.write_bytes(network[0].SerializeToString())
    first, facts = embedded(path, photographs[:6]), path.stat()
    content = changed(network[0]).SerializeToString()
    assert len(content) == facts.st_size
    place = path if how == "in place" else tmp_path / "other.pb"
    place.write_bytes(content)
    os.utime(place, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    place.replace(path)
    second = embedded(path, photographs[:6])
    np.testing.assert_array_equal(second, fresh(path, photographs[:6]))
    assert (first != second).any()


def test_a_file_that_was_just_written_is_not_kept(network, photographs, tmp_path, opened, monkeypatch):
    monkeypatch.setattr(_prepared, "_SETTLED", 1e6)
    path = tmp_path / "network.pb"
    path.write_bytes(network[0].SerializeToString())
    results = [embedded(path, photographs[:3]) for _ in range(2)]
    np.testing.assert_array_equal(*results)
    assert len(opened) == 2 and not _prepared._kept


def test_a_missing_file(graph, photographs, tmp_path):
    path = tmp_path / "network.pb"
    path.write_bytes(graph.read_bytes())
    embedded(path, photographs[:3])
    path.unlink()
    with pytest.raises(fne.FileError, match="network.pb"):
        embedded(path, photographs[:3])


def test_a_keras_model_that_learns(photographs):
    """The weights change in place, so that the object is the same."""
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.Flatten()]
    layers += [keras.layers.Dense(6, activation="relu"), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((40, 40, 3)), *layers])
    first = embedded(model, photographs[:6], (40, 40))
    np.testing.assert_array_equal(embedded(model, photographs[:6], (40, 40)), first)
    layers[0].set_weights([weight * -1 for weight in layers[0].get_weights()])
    second = embedded(model, photographs[:6], (40, 40))
    np.testing.assert_array_equal(second, fresh(model, photographs[:6], (40, 40)))
    assert (first != second).any()


def test_what_stands_beside_an_onnx_file(photographs, tmp_path, opened):
    """Weights and preprocessing of their own files. Warnings come with each call."""
    model, _ = onnx_networks.convolutional()
    path, config = tmp_path / "network.onnx", tmp_path / "preprocessor_config.json"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    for _ in range(2):
        with pytest.warns(fne.PreprocessingWarning, match="nothing says"):
            first = embedded(path, photographs[:6], (32, 40))
    assert len(opened) == 1
    numbers = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "rescale_factor": 1 / 255}
    config.write_text(json.dumps({"do_resize": False, **numbers}))
    second = embedded(path, photographs[:6], (32, 40))
    np.testing.assert_array_equal(second, fresh(path, photographs[:6], (32, 40)))
    assert (first != second).any() and len(opened) == 2
    weights = np.frombuffer((tmp_path / "weights.bin").read_bytes(), np.float32)
    (tmp_path / "weights.bin").write_bytes((weights * np.float32(0.5)).tobytes())
    third = embedded(path, photographs[:6], (32, 40))
    np.testing.assert_array_equal(third, fresh(path, photographs[:6], (32, 40)))
    assert (second != third).any() and len(opened) == 3


def test_an_onnx_file_among_very_many(photographs, tmp_path, opened, monkeypatch):
    monkeypatch.setattr(_prepared, "_MOST_FILES", 3)
    onnx.save(onnx_networks.convolutional()[0], tmp_path / "network.onnx")
    for number in range(4):
        (tmp_path / f"{number}.txt").touch()
    for _ in range(2):
        embedded(tmp_path / "network.onnx", photographs[:3], (32, 40), preset="raw")
    assert len(opened) == 2 and not _prepared._kept


def test_several_threads(graph, photographs):
    """They use one extractor at once, and another thread drops it meanwhile."""
    expected, found, stop = embedded(graph, photographs[:6]), [], threading.Event()

    def work():
        found.extend(embedded(graph, photographs[:6]) for _ in range(6))

    def clear():
        while not stop.wait(0.01):
            fne.clear_prepared()

    workers = [threading.Thread(target=work) for _ in range(4)]
    clearing = threading.Thread(target=clear)
    for thread in (*workers, clearing):
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    clearing.join()
    assert len(found) == 24
    for result in found:
        np.testing.assert_array_equal(result, expected)


def test_a_forked_child_has_none_of_them(graph, photographs):
    """It is told what it cannot do, also where the parent held the lock. The parent's stay."""
    program = """
    import os, sys, warnings
    import fne
    from fne import _prepared
    warnings.simplefilter("ignore")
    _prepared._SETTLED = 0.0
    def call():
        return fne.full_network_embedding(sys.argv[1], sys.argv[2:], 4, None, None, (48, 64))[1]
    first = call()
    _prepared._lock.acquire()
    child = os.fork()
    if child == 0:
        try:
            assert not _prepared._kept
            call()
        except fne.ForkedError:
            fne.clear_prepared()
            os._exit(7)
        os._exit(1)
    _prepared._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert len(_prepared._kept) == 1
    assert (call() == first).all()
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(graph), *map(str, photographs[:3])]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
