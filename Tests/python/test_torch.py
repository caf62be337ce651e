"""PyTorch modules as models, against the modules' own forward hooks. PyTorch has to be imported before TensorFlow."""

from __future__ import annotations

import copy
import os
import pickle
import re
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
import torch_networks as networks
from conftest import ROOT
from torch import nn

import fne
from fne import _torch_export, errors


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=["older", "newer"])
def exporter(request, monkeypatch):
    """Each of the two exporters of PyTorch."""
    if request.param == "newer":
        monkeypatch.setattr(_torch_export, "_export_traced", _torch_export._export_captured)
    return request.param


def close(found, expected):
    assert np.ptp(expected, axis=0).max() > 0.01
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def kept(cache):
    return sorted(os.listdir(cache)) if cache.exists() else []


# ---- layers, values and names


@pytest.mark.parametrize(
    "make",
    [
        networks.Convolutional.with_twins,
        lambda: networks.randomized(networks.Transformer()),
        lambda: networks.randomized(networks.Levit()),
    ],
)
def test_layers_are_those_of_the_hooks(make, exporter):
    """Each default layer has the path of its module, is selected by it, and has the value after the activation."""
    torch.manual_seed(0)
    network = make()
    if exporter == "newer":
        networks.randomized(network)  # it writes small weights that are equal once
    batch = networks.images(3)
    expected = networks.hooked(network, batch, network.ends)
    model = fne.Model(network, size=networks.SIZE)
    paths = [layer.module for layer in model.layers()]
    inside = ["encoder.self_attn"] if "encoder.linear1" in expected else []  # it calls no module
    assert sorted(paths) == sorted([*expected, *inside])
    assert set(paths) <= set(dict(network.named_modules()))
    for path, value in expected.items():
        with fne.Extractor(model, layers=path) as extractor:
            close(extractor.extract(batch).features, value)
    chosen = list(reversed(expected))
    with fne.Extractor(model, layers=chosen) as extractor:
        assert extractor.size == networks.SIZE
        close(extractor.extract(batch).features, np.concatenate([expected[path] for path in chosen], 1))


def test_maps_of_attention_whose_average_is_the_same_for_every_image(exporter):
    """The proof of which rows are an image's takes that for rounding, and not for images that mix."""
    torch.manual_seed(0)
    network, batch, maps = networks.randomized(networks.TalkingHeads()), networks.images(3), []
    network.after.register_forward_hook(lambda _module, _inputs, output: maps.append(output.detach()))
    network(torch.from_numpy(batch.transpose(0, 3, 1, 2).copy()))
    expected = maps[0].double().mean((1, 2)).numpy()
    assert np.ptp(expected, axis=0).max() < 1e-6 < 1e-2 < np.abs(expected).min()
    with fne.Extractor(network, layers=["before", "after"], size=networks.SIZE) as extractor:
        found = extractor.extract(batch).features
    np.testing.assert_allclose(found[:, 4:], expected, rtol=1e-4)
    assert np.ptp(found[:, :4], axis=0).max() > 0.01


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_attention_that_was_exported_for_one_image(dynamo, tmp_path):
    """nn.MultiheadAttention holds the batch in its shapes. The network runs on one image at a time, and says so."""
    torch.manual_seed(0)
    network, path, batch, said = (
        networks.randomized(networks.VisionTransformer()),
        tmp_path / "network.onnx",
        networks.images(3),
        [],
    )
    expected = networks.hooked(network, batch, network.ends)
    with _torch_export._plain_attention(torch):
        options = {"verbose": False} if dynamo else {"opset_version": 17}
        torch.onnx.export(network, (torch.zeros(1, 3, *networks.SIZE),), path, dynamo=dynamo, **options)
    fne.set_log_callback(lambda level, text: said.append(text) if level == "warning" else None)
    try:
        with fne.Extractor(path, layers=list(expected)) as extractor:
            close(extractor.extract(batch).features, np.concatenate(list(expected.values()), 1))
            assert extractor.batch_size == 1
    finally:
        fne.set_log_callback(None)
    assert len(said) == 1 and re.search("run on one at a time.*dynamic_axes, or dynamic_shapes", said[0])


def test_names_and_globs():
    model = fne.Model(networks.Convolutional.with_twins(), size=networks.SIZE)
    names = {layer.module: layer.name for layer in model.layers()}
    for selectors, chosen in [
        ("blocks.*.project", ["blocks.0.project", "blocks.1.project"]),
        (["twins.b", names["stem.0"]], ["twins.b", "stem.0"]),
        ("penultimate", None),
        ("all", [*names, "head"]),
    ]:
        with fne.Extractor(model, layers=selectors) as extractor:
            found = [layer.name for layer in extractor.layers]
        if chosen is not None:
            assert found == [names[path] for path in chosen if path != "head"] + found[len(names) :]
    with pytest.raises(fne.UnknownTensorError, match="no tensor 'blocks.2'"):
        fne.Extractor(model, layers="blocks.2")


def test_grey_images_are_taken_where_the_first_convolution_takes_one_channel():
    network = networks.Convolutional.with_twins(channels=1)
    batch = networks.images(2, channels=1)
    expected = networks.hooked(network, batch, network.ends)
    with fne.Extractor(network, layers=list(expected), size=networks.SIZE) as extractor:
        assert extractor.channels == 1
        close(extractor.extract(batch).features, np.concatenate(list(expected.values()), 1))


# ---- the user's module, and what is kept


def test_the_module_stays_as_it_is(cache):
    """In training mode, with gradients, in float64; what is exported is what it computes in evaluation mode."""
    network = networks.sequential().double().train()
    network[1].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    batch = networks.images(2)
    with fne.Extractor(network, layers="7", size=networks.SIZE) as extractor:
        found = extractor.extract(batch).features
    assert [each.training for each in network] == [True, False] + [True] * 8 and network.training
    assert all(value.dtype == before[name].dtype for name, value in network.state_dict().items())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(value.requires_grad for value in network.parameters())
    assert torch.backends.mha.get_fastpath_enabled()
    close(found, networks.hooked(network.eval().float(), batch, {"7": ("8", 0)})["7"])


def test_a_module_is_exported_once(cache, monkeypatch):
    calls = []
    export = torch.onnx.export
    monkeypatch.setattr(torch.onnx, "export", lambda *given, **named: (calls.append(1), export(*given, **named))[1])
    sums = {fne.Model(networks.sequential(), size=size).sha256() for size in (networks.SIZE, list(networks.SIZE))}
    assert fne.Model(networks.sequential().train(), size=networks.SIZE).sha256() in sums
    assert len(sums) == len(calls) == len(kept(cache)) == 1
    changes = {
        "another size": (networks.sequential(), 32),
        "a weight": (networks.sequential(), networks.SIZE),
        "an attribute": (networks.sequential(), networks.SIZE),
        "another class": (networks.sequential(), networks.SIZE),
        "a function's argument": (networks.sequential(), networks.SIZE),
    }
    with torch.no_grad():
        changes["a weight"][0][3].weight[0, 0, 0, 0] += 1e-3
    changes["an attribute"][0][1].eps = 0.5
    changes["another class"][0][2] = nn.ReLU6()
    changes["a function's argument"][0][8] = nn.GELU("tanh")
    for number, (network, size) in enumerate(changes.values(), 2):
        sums.add(fne.Model(network, size=size).sha256())
        assert len(sums) == len(calls) == len(kept(cache)) == number


def test_modules_of_own_classes_are_not_kept(cache):
    """Their code may change without a trace in them. So may a hook."""
    fne.Model(networks.Convolutional.with_twins(), size=networks.SIZE)
    network = networks.sequential()
    network[2].register_forward_hook(lambda _module, _inputs, output: 2 * output)
    batch = networks.images(2)
    with fne.Extractor(network, layers="3", size=networks.SIZE) as extractor:
        close(extractor.extract(batch).features, networks.hooked(network, batch, {"3": ("4", 0)})["3"])
    assert kept(cache) == []


def test_copies_and_pickles(cache):
    """A pickle needs no cache where it is loaded."""
    batch = networks.images(2)
    with fne.Extractor(networks.sequential(), layers=["0", "3"], size=networks.SIZE) as extractor:
        expected = extractor.extract(batch).features
        np.testing.assert_array_equal(copy.copy(extractor).extract(batch).features, expected)
        saved = pickle.dumps(extractor)
    for file in cache.iterdir():
        file.unlink()
    np.testing.assert_array_equal(pickle.loads(saved).extract(batch).features, expected)


def test_weights_that_are_too_many_for_one_file(cache, monkeypatch):
    """They stand in a second file, from the newer exporter."""
    monkeypatch.setattr(_torch_export, "_MOST_INSIDE", 1000)
    network, batch = networks.sequential(), networks.images(2)
    with fne.Extractor(network, layers="7", size=networks.SIZE) as extractor:
        expected = extractor.extract(batch).features
        close(expected, networks.hooked(network, batch, {"7": ("8", 0)})["7"])
        saved = pickle.dumps(extractor)
    names = kept(cache)
    assert len(names) == 2 and names[1] == names[0] + ".data"
    tensors = onnx.load(cache / names[0], load_external_data=False).graph.initializer
    assert any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors)
    # The weights stay where they are, for processes that have the same cache.
    assert len(saved) < 10_000
    again = pickle.dumps(pickle.loads(saved))
    np.testing.assert_array_equal(pickle.loads(again).extract(batch).features, expected)
    (cache / names[0]).unlink()
    with pytest.raises(errors.MissingFileError, match="more than 1.5 GB of weights, it does not travel.*Copy the file"):
        pickle.loads(again).extract(batch)
    with pytest.raises(fne.GraphError, match="more than 1.5 GB of weights.*torch.onnx.export"):
        fne.Model(networks.Convolutional.with_twins(), size=networks.SIZE)


# ---- what takes a module


def test_a_module_that_learns_is_never_embedded_as_it_was(photographs):
    """The object stays the same between the calls, and what the first call prepared is kept."""
    network, paths = networks.sequential(), photographs[:6]
    results = []
    for factor in (1, 1, -1):
        with torch.no_grad():
            next(network.parameters()).mul_(factor)
        codes, stats = fne.full_network_embedding(network, paths, 4, None, None, networks.SIZE)
        rows = fne.Extractor(network, size=networks.SIZE).extract(paths).features
        np.testing.assert_allclose(stats[0], rows.astype(np.float64).mean(0), rtol=1e-12)
        results.append(np.concatenate([codes, stats]))
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[1] != results[2]).any()


def test_everything_takes_a_module(cache, tmp_path, photographs):
    from fne.sklearn import FullNetworkFeatures

    network, paths = networks.sequential(), photographs[:6]
    expected = fne.Extractor(network, size=networks.SIZE).extract(paths).features
    codes, stats = fne.full_network_embedding(network, paths, 4, None, None, networks.SIZE)
    np.testing.assert_allclose(stats[0], expected.mean(0), rtol=1e-4, atol=1e-4)
    assert codes.shape == expected.shape
    job = fne.embed_dataset(paths, network, tmp_path / "job", size=networks.SIZE, batch_size=2)
    np.testing.assert_allclose(job.features(), expected, rtol=1e-4, atol=1e-3)
    with job.extractor(network) as extractor:
        np.testing.assert_array_equal(extractor.extract(paths).features, job.features())
    features = FullNetworkFeatures(network, size=networks.SIZE).fit(paths).transform(paths)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-3)
    assert len(kept(cache)) == 1


def test_scikit_learn_knows_a_module_by_its_weights():
    from fne.sklearn import FullNetworkFeatures

    network = networks.sequential()
    image = np.random.default_rng(0).integers(0, 256, (2, *networks.SIZE, 3), np.uint8)
    before = FullNetworkFeatures(network, layers="0", size=networks.SIZE).fit_transform(image)
    with torch.no_grad():
        network[0].weight *= 2
    after = FullNetworkFeatures(network, layers="0", size=networks.SIZE).fit_transform(image)
    close(after, fne.Extractor(network, layers="0", size=networks.SIZE).extract(list(image)).features)
    assert np.abs(after - before).max() > 0.1


def test_the_example_of_the_guide(photographs, tmp_path, monkeypatch):
    """With random weights, since the trained ones are a download."""
    for name, photograph in zip(("a.jpg", "b.jpg"), photographs, strict=False):
        shutil.copy(photograph, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/networks.md").read_text().split("## PyTorch modules")[1]
    code = re.search("```python\n(.*?)```", page, re.DOTALL)[1]
    assert code.count('weights="DEFAULT"') == 1
    names = {}
    exec(code.replace('weights="DEFAULT"', "weights=None"), names)
    assert names["features"].shape[0] == 2 and names["features"].shape[1] > 16


# ---- what is refused


class Fails(nn.Module):
    def forward(self, x):
        raise KeyError("a fault of my own")


class Branches(nn.Module):
    """Its shape depends on the values, which neither exporter writes."""

    def forward(self, x):
        return x[[int(x.sum()) % 2]] if bool((x > 0).any()) else torch.nonzero(x)


def test_errors(monkeypatch):
    with pytest.raises(fne.InvalidArgumentError, match=r"'Sequential' takes is needed.*size=224"):
        fne.Model(networks.sequential())
    with pytest.raises(fne.InvalidArgumentError, match="size=224"):
        fne.Extractor(networks.sequential())
    for size in (0, (32,), (32, -1), "x", (1.5, 2)):
        with pytest.raises(fne.InvalidArgumentError, match="size is"):
            fne.Model(networks.sequential(), size=size)
    with pytest.raises(fne.InvalidArgumentError, match=r"size is for a torch.nn.Module.*fne.Extractor"):
        fne.Model(b"", size=32)
    with pytest.raises(fne.InvalidArgumentError, match="signature and tags"):
        fne.Model(networks.sequential(), size=32, signature="x")
    with pytest.raises(fne.TensorError, match="takes 4 channels"):
        fne.Model(nn.Conv2d(4, 2, 1), size=32)
    with pytest.raises(
        fne.GraphError, match=r"'Fails' cannot be exported: .*a fault of my own.*torch.onnx.export.*fne_torch"
    ):
        fne.Model(Fails(), size=32)
    with pytest.raises(errors.InvalidTypeError, match="torch.nn.Module"):
        fne.Model(7)


@pytest.mark.parametrize("name", ["onnx", "onnxscript"])
def test_what_is_missing_is_named(name, monkeypatch):
    def missing(*given, **named):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(torch.onnx, "export", missing)
    with pytest.raises(errors.NotInstalledError, match=rf"{name}, with which.*pip install fne\[torch\]"):
        fne.Model(networks.sequential(), size=32)


def test_a_wrapped_module_is_taken_out(cache):
    plain = fne.Model(networks.sequential(), size=networks.SIZE).sha256()
    wrapped = nn.DataParallel(networks.sequential())
    assert fne.Model(wrapped, size=networks.SIZE).sha256() == plain
    assert fne.Model(torch.compile(networks.sequential()), size=networks.SIZE).sha256() == plain
    assert len(kept(cache)) == 1


def test_torch_is_not_imported_for_others(cache):
    fne.Model(networks.sequential(), size=networks.SIZE)
    code = f"import sys, fne; fne.Model({str(cache / kept(cache)[0])!r}); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
