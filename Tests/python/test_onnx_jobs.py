"""ONNX networks in jobs, on the command line and in scikit-learn's pipelines."""

from __future__ import annotations

import hashlib
import os
import re
import shutil

import cv2
import forged_jobs
import job_kills
import numpy as np
import onnx
import onnx_networks as networks
import onnxruntime
import pytest
from sklearn.base import clone

import fne
from fne._command import main
from fne.sklearn import FullNetworkEmbedder, FullNetworkFeatures

# These networks are fed with pixels.
pytestmark = pytest.mark.filterwarnings("ignore::fne.PreprocessingWarning")

SIZE = (networks.HEIGHT, networks.WIDTH)


@pytest.fixture(scope="module")
def onnx_network():
    return networks.convolutional(modules=True)


@pytest.fixture(scope="module")
def file(onnx_network, tmp_path_factory):
    """The network, with its weights in a file of its own."""
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    model = onnx.ModelProto.FromString(onnx_network[0].SerializeToString())
    onnx.save(model, path, save_as_external_data=True, location="network.data", size_threshold=0)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Images of the network's size, so that nothing is resized, and one that is damaged."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(networks.images(11)):
        assert cv2.imwrite(str(folder / f"{number:02}.png"), image.astype(np.uint8)[..., ::-1])
    (folder / "99.jpg").write_bytes((folder / "00.png").read_bytes()[:1000])
    return folder


@pytest.fixture(scope="module")
def job(file, pictures, tmp_path_factory):
    return fne.embed_dataset(pictures, file, tmp_path_factory.mktemp("jobs") / "job", batch_size=4)


def standardized(rows, mean, deviation):
    """Columns that do not vary, such as those of dead units, are 0."""
    return np.divide(rows - mean, deviation, out=np.zeros(rows.shape), where=deviation > 1e-6)


def ternary(z):
    return (z > 0.15).astype(np.int8) - (z < -0.25)


def test_a_job(job, onnx_network, file):
    assert [layer.name for layer in job.layers] == [name for name, _ in onnx_network[1]]
    expected = networks.features(*onnx_network, networks.images(11))
    np.testing.assert_allclose(job.features()[:11], expected, rtol=1e-4, atol=1e-5)
    assert list(job.failures) == [11] and np.isnan(job.features()[11]).all()
    z = standardized(job.features()[:11], *job.stats)
    np.testing.assert_array_equal(job.codes()[:11], ternary(z))
    engine = job.manifest["engines"][0]
    assert engine["onnxruntime"] == onnxruntime.__version__ and engine["device"] == "cpu"
    assert len(job.manifest["engines"]) == 1 and "tensorflow" not in engine
    data = file.read_bytes() + (file.parent / "network.data").read_bytes()
    recorded = job.manifest["settings"]["model"]
    assert recorded["sha256"] == hashlib.sha256(data).hexdigest() == fne.Model(file).sha256()
    assert recorded["bytes"] == len(data)


def test_a_job_that_is_stopped_and_resumed(job, file, pictures, tmp_path):
    class Stop(Exception):
        pass

    def progress(phase, done, total):
        if phase == "embedding" and done >= 4:
            raise Stop

    output = tmp_path / "job"
    with pytest.raises(Stop):
        fne.embed_dataset(pictures, file, output, batch_size=4, streams=1, progress=progress)
    assert fne.Job(output).state == "running"
    assert fne.embed_dataset(pictures, file, output, batch_size=4).state == "finished"
    assert job_kills.digests(output) == job_kills.digests(job.folder)
    with pytest.raises(fne.JobMismatchError, match="model"):
        other = networks.convolutional(13)[0].SerializeToString()
        fne.embed_dataset(pictures, other, output, batch_size=4)


def test_shards(job, file, pictures, tmp_path):
    folders = [tmp_path / str(index) for index in range(2)]
    for index, folder in enumerate(folders):
        fne.embed_dataset(pictures, file, folder, batch_size=4, shard=(index, 2))
    fne.merge_shards(folders, tmp_path / "merged")
    assert job_kills.digests(tmp_path / "merged") == job_kills.digests(job.folder)


def test_shards_of_two_engines(file, graph, pictures, tmp_path):
    folders = [tmp_path / "onnx", tmp_path / "tensorflow"]
    for index, (model, folder) in enumerate(zip((file, graph), folders, strict=True)):
        fne.embed_dataset(pictures, model, folder, batch_size=4, shard=(index, 2))
    for accepts in (False, True):  # two files are two networks
        with pytest.raises(fne.JobMismatchError, match="model"):
            fne.merge_shards(folders, tmp_path / "merged", accept_other_engine=accepts)


def test_shards_of_two_versions(file, pictures, tmp_path, capsys):
    folders = [tmp_path / str(index) for index in range(2)]
    for index, folder in enumerate(folders):
        fne.embed_dataset(pictures, file, folder, batch_size=4, shard=(index, 2))
    manifest = forged_jobs.read_manifest(folders[1])
    manifest["engines"][0]["onnxruntime"] = "1.19.2"
    forged_jobs.write_manifest(folders[1], manifest)
    code, out = command(capsys, "merge", tmp_path / "merged", *folders, "--quiet")
    assert code == 1 and 'onnxruntime is "1.19.2" there' in out.err, out
    code, out = command(capsys, "merge", tmp_path / "merged", *folders, "--quiet", "--accept-other-engine")
    assert code == 0 and "11 images embedded" in out.out, out
    versions = [engine["onnxruntime"] for engine in fne.Job(tmp_path / "merged").manifest["engines"]]
    assert versions == [onnxruntime.__version__, "1.19.2"]


def test_tokens_of_a_job(pictures, tmp_path):
    model, taps = networks.tokens_first()
    data = model.SerializeToString()
    job = fne.embed_dataset(pictures, data, tmp_path / "job", token_pooling="first+rest", layers="last:50%")
    expected = networks.features(model, taps[2:], networks.images(11), "first+rest")
    np.testing.assert_allclose(job.features()[:11], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(fne.JobMismatchError, match="prefix_tokens"):
        fne.embed_dataset(
            pictures, data, tmp_path / "job", token_pooling="first+rest", prefix_tokens=2, layers="last:50%"
        )


@pytest.mark.parametrize("data", ["network.data", "other.bin", "weights/other.bin"])
def test_the_replaced_weights_are_not_those_of_the_cache(file, pictures, tmp_path, data):
    """Of an ONNX file whose weights, in a file beside it of any name, change."""
    (tmp_path / "network.onnx").write_bytes(file.read_bytes())
    (tmp_path / data).parent.mkdir(exist_ok=True)
    shutil.copy(file.parent / "network.data", tmp_path / data)
    model = onnx.load(tmp_path / "network.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = data if entry.key == "location" else entry.value
    (tmp_path / "network.onnx").write_bytes(model.SerializeToString())
    transformer = FullNetworkFeatures(tmp_path / "network.onnx", cache="memory")
    paths = [pictures / "00.png"]
    first = transformer.fit_transform(paths)
    weights = np.fromfile(tmp_path / data, np.float32)
    (weights * np.float32(0.5)).tofile(tmp_path / data)
    os.utime(tmp_path / data, (1, 1))
    second = transformer.fit_transform(paths)
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(
        second, FullNetworkFeatures(tmp_path / "network.onnx", cache=None).fit_transform(paths)
    )


def test_other_files_beside_a_network_change_nothing_in_the_cache(file, pictures, tmp_path, monkeypatch):
    """The model is opened again, as the file could be its own; its rows are those of before."""
    for part in file.parent.iterdir():
        shutil.copy(part, tmp_path / part.name)
    transformer = FullNetworkFeatures(tmp_path / "network.onnx", cache="memory")
    paths = [pictures / "00.png"]
    first = transformer.fit_transform(paths)
    (tmp_path / "notes.txt").write_text("not of the network")
    monkeypatch.setattr(fne.Extractor, "extract", lambda *_: pytest.fail("the row is in the cache"))
    np.testing.assert_array_equal(transformer.fit_transform(paths), first)


# ---- the command line


def command(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    return code, capsys.readouterr()


def test_the_command_embeds(job, file, pictures, tmp_path, capsys):
    code, out = command(capsys, "embed", pictures, file, tmp_path / "job", "--batch-size", 4, "--quiet")
    assert code == 0 and "11 images embedded, 1 skipped, 72 features, finished" in out.out, out
    assert job_kills.digests(tmp_path / "job") == job_kills.digests(job.folder)
    assert command(capsys, "verify", tmp_path / "job")[0] == 0
    code, out = command(capsys, "report", tmp_path / "job", "-o", tmp_path / "report.html")
    assert code == 0, out
    assert f"ONNX Runtime {onnxruntime.__version__}" in (tmp_path / "report.html").read_text()


def test_the_command_lists_layers(onnx_network, file, capsys):
    code, out = command(capsys, "layers", file)
    assert code == 0, out
    lines = out.out.splitlines()
    assert lines[0].split()[:6] == ["name", "kind", "shape", "features", "default", "module"]
    shape = networks.values(onnx_network[0], networks.images(1), ["node4_Relu"])[0].shape
    described = re.escape(f"[n, {', '.join(map(str, shape[1:]))}]")
    assert re.fullmatch(rf"node4_Relu +convolution +{described} +12 +yes +features\.0\.0", lines[1])
    assert lines[-3:] == [
        "5 default layers, 72 features",
        "reads images of 32 x 40 pixels, three channels: image",
        "nothing beside it says how it is fed; --preset takes imagenet, inception, clip, caffe, raw",
    ]
    code, out = command(capsys, "layers", file, "features.1.*")
    assert code == 0, out
    assert [line.split()[0] for line in out.out.splitlines()[1:3]] == [name for name, _ in onnx_network[1][1:3]]
    code, out = command(capsys, "layers", file, "features.2")
    assert code == 0 and out.out.splitlines()[1].startswith(onnx_network[1][3][0] + " "), out


# ---- scikit-learn


def test_transformers(onnx_network, file, pictures):
    paths = [pictures / f"{number:02}.png" for number in range(11)]
    expected = networks.features(*onnx_network, networks.images(11))
    transformer = FullNetworkFeatures(file, batch_size=4)
    np.testing.assert_allclose(clone(transformer).fit_transform(paths), expected, rtol=1e-4, atol=1e-5)
    chosen = FullNetworkFeatures(file, layers=["features.0.0", "features.2"]).fit(paths)
    np.testing.assert_allclose(chosen.transform(paths), expected[:, np.r_[:12, 36:56]], rtol=1e-4, atol=1e-5)
    names = list(chosen.get_feature_names_out())
    assert len(names) == 32 and names[0].startswith("node4_Relu")
    z = standardized(expected, expected.mean(0), expected.std(0))
    certain = np.minimum(abs(z - 0.15), abs(z + 0.25)) > 1e-3
    codes = FullNetworkEmbedder(file).fit_transform(paths)
    np.testing.assert_array_equal(codes[certain], ternary(z)[certain])
