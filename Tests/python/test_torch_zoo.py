"""Networks of timm and torchvision: their files, and their preprocessing against the libraries' own transforms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torchvision.transforms import InterpolationMode

import fne
from fne import errors, zoo
from fne._images import INTERPOLATIONS
from fne.zoo import _pytorch


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FNE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def means(module, names, batch):
    """The averages of the outputs of modules, by forward hooks."""
    found = {}
    for name in names:

        def keep(_module, _inputs, output, name=name):
            found[name] = output

        module.get_submodule(name).register_forward_hook(keep)
    with torch.no_grad():
        module(torch.from_numpy(batch.transpose(0, 3, 1, 2).copy()))
    return np.concatenate([found[name].mean((2, 3)).numpy() for name in names], 1)


@pytest.mark.parametrize(
    "make, create, library, layers",
    [
        (
            lambda: zoo.from_timm("lcnet_050", pretrained=False),
            (timm, "create_model"),
            timm,
            {"blocks.0.0.conv_pw": "blocks.0.0.bn2", "conv_head": "act2"},
        ),
        (
            lambda: zoo.from_torchvision("squeezenet1_1", weights=None),
            (torchvision.models, "get_model"),
            torchvision,
            {"features.3.squeeze": "features.3.squeeze_activation", "features.0": "features.1"},
        ),
    ],
)
def test_values_are_those_of_the_hooks(make, create, library, layers, monkeypatch):
    made, original = [], getattr(*create)
    monkeypatch.setattr(*create, lambda *given, **named: (made.append(original(*given, **named)), made[-1])[1])
    path = make()
    assert path.name.startswith(f"{library.__name__}-") and path.name.endswith(
        f"-{library.__version__.split('+')[0]}.onnx"
    )
    assert make() == path and len(made) == 1
    batch = np.random.default_rng(0).normal(0, 1, (2, 224, 224, 3)).astype(np.float32)
    expected = means(made[0].eval(), list(layers.values()), batch)
    with fne.Extractor(path, layers=list(layers)) as extractor:
        assert extractor.size == (224, 224)
        found = extractor.extract(batch).features
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    paths = [layer.module for layer in fne.Model(path).layers()]
    convolutions = [key for key, each in made[0].named_modules() if isinstance(each, torch.nn.Conv2d)]
    assert set(paths) <= set(convolutions) and len(paths) >= len(convolutions) - 1


# ---- preprocessing


@pytest.fixture(scope="module")
def photograph():
    return Image.open(next(path for path in zoo.sample_images() if path.endswith("china.jpg"))).convert("RGB")


def fed(preprocessing, image):
    """What an extractor with these options feeds a network with."""
    identity = zoo.from_torchvision("squeezenet1_1", weights=None)
    with fne.Extractor(identity, layers="features.0", **preprocessing) as extractor:
        return extractor.preprocess(np.asarray(image))[0]


def test_torchvision_prepares_images_so(photograph):
    expected = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT.transforms()(photograph)
    found = fed(zoo.torchvision_preprocessing("squeezenet1_1"), photograph)
    assert expected.std() > 0.5
    # Pillow rounds between its two passes.
    assert np.abs(found - expected.numpy().transpose(1, 2, 0)).max() < 0.05


def test_timm_prepares_images_so(photograph):
    """A network that timm feeds with bilinear images. Bicubic ones are tested where libfne has them."""
    name = "tf_mobilenetv3_small_minimal_100"
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    assert config["interpolation"] == "bilinear"
    expected = timm.data.create_transform(**config)(photograph)
    found = fed(zoo.timm_preprocessing(name), photograph)
    assert expected.std() > 0.3
    assert np.abs(found - expected.numpy().transpose(1, 2, 0)).max() < 0.05


def test_options():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert zoo.timm_preprocessing("vit_tiny_patch16_224")["mean"] == (127.5, 127.5, 127.5)
        assert zoo.timm_preprocessing("vit_tiny_patch16_224")["resize_size"] == (248, 248)
        assert zoo.torchvision_preprocessing("inception_v3")["size"] == (299, 299)
        assert zoo.torchvision_preprocessing("inception_v3")["resize_size"] == (342, 342)
        first = zoo.torchvision_preprocessing("resnet50", "IMAGENET1K_V1")
        assert first["resize_size"] == (256, 256)
        assert zoo.torchvision_preprocessing("resnet50", None)["resize_size"] == (232, 232)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"interpolation": "lanczos"}, "for x, the entry 'interpolation' is 'lanczos', .* it is taken as 'bicubic'"),
        ({"crop_mode": "border"}, "for x, the entry 'crop_mode' is 'border', .* it is taken as 'center'"),
        ({"crop_pct": 1.1}, "for x, the entry 'crop_pct' is 1.1, .* it is taken as 1"),
    ],
)
def test_what_libfne_cannot_do_is_said(change, said):
    config = {"input_size": [3, 64, 64], "interpolation": "bilinear", "crop_mode": "center", "crop_pct": 0.9}
    config |= {"mean": [0.5] * 3, "std": [0.5] * 3}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _pytorch._options("x", config)["resize_size"] == (71, 71)
    with pytest.warns(fne.PreprocessingWarning, match=said):
        options = _pytorch._options("x", config | change)
    assert options["interpolation"] in INTERPOLATIONS


def test_coarse_resizing_is_said(monkeypatch):
    """Without antialiasing, torchvision's bilinear is not Pillow's."""
    weights = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT
    transforms = weights.transforms(antialias=False, interpolation=InterpolationMode.BILINEAR)
    monkeypatch.setattr(
        _pytorch, "_torchvision_weights", lambda *_: type("", (), {"transforms": lambda _: transforms})()
    )
    with pytest.warns(fne.PreprocessingWarning, match="'bilinear, coarse'"):
        zoo.torchvision_preprocessing("squeezenet1_1")


def test_what_stands_beside_the_file():
    """In the words of timm's config.json, under the network's own name."""
    path = zoo.from_torchvision("squeezenet1_1", weights=None)
    members = json.loads((path.parent / (path.stem + ".config.json")).read_text())["pretrained_cfg"]
    assert members["input_size"] == [3, 224, 224] and members["crop_pct"] == 224 / 256
    assert members["mean"] == [0.485, 0.456, 0.406] and members["interpolation"] == "bilinear"


# ---- errors and the command


def test_errors(monkeypatch):
    for call, kind, said in [
        (lambda: zoo.from_timm("no_net"), errors.InvalidArgumentError, "timm has no network 'no_net'.*list_models"),
        (lambda: zoo.from_torchvision("no_net"), errors.InvalidArgumentError, "torchvision has no network 'no_net'"),
        (lambda: zoo.from_torchvision("resnet18", "X"), errors.InvalidArgumentError, "'X'; there are IMAGENET1K_V1"),
        (lambda: zoo.torchvision_preprocessing("fcn_resnet50"), errors.InvalidArgumentError, "SemanticSegmentation"),
    ]:
        with pytest.raises(kind, match=said):
            call()

    def unreachable(*given, **named):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(
        fne.FileError, match="'resnet18' and its weights could not be loaded: OSError: no route.*copy it"
    ):
        zoo.from_timm("resnet18")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(errors.NotInstalledError, match=r"pip install fne\[timm\]"):
        zoo.timm_preprocessing("resnet18")


@pytest.fixture
def pretrained():
    """The weights cannot be downloaded in a test: a file with random ones is put in their place in the cache."""
    path = zoo.from_torchvision("squeezenet1_1", weights=None)
    place = path.parent / _pytorch._stem("torchvision", "squeezenet1_1", "DEFAULT")
    for ending in (".onnx", ".config.json"):
        if not os.path.exists(f"{place}{ending}"):
            os.link(path.parent / (path.stem + ending), f"{place}{ending}")
    return path


@pytest.fixture
def expected(pretrained, photographs):
    preprocessing = zoo.torchvision_preprocessing("squeezenet1_1")
    with fne.Extractor(pretrained, layers="features.0", **preprocessing) as extractor:
        return extractor.extract(photographs[:3]).features


def test_the_command_takes_a_library_s_network(tmp_path, photographs, expected):
    names = tmp_path / "names.txt"
    names.write_text("\n".join(map(str, photographs[:3])))
    command = [sys.executable, "-m", "fne", "embed", str(names), "torchvision:squeezenet1_1", str(tmp_path / "job")]
    done = subprocess.run([*command, "--quiet", "--layers", "features.0"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(fne.Job(tmp_path / "job").features(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("error::fne.PreprocessingWarning", "ignore::fne.FewImagesWarning")
def test_whatever_takes_a_model_takes_the_name_of_a_library_s_network(tmp_path, photographs, pretrained, expected):
    """Images are prepared as the library says, in each of them."""
    from fne._cluster import worker
    from fne.sklearn import FullNetworkFeatures

    name, few = "torchvision:squeezenet1_1", photographs[:3]
    assert fne.Model(name).sha256() == fne.Model(pretrained).sha256()
    job = fne.embed_dataset(few, name, tmp_path / "job", layers="features.0")
    rows = [
        fne.Extractor(name, layers="features.0").extract(few).features,
        job.features(),
        FullNetworkFeatures(name, layers="features.0").fit_transform(few),
        worker.features(worker.plan(name, {"layers": "features.0"}, True), few).values,
    ]
    for found in rows:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    _, stats = fne.full_network_embedding(name, few, 2, None, ["features.0"], None)
    np.testing.assert_allclose(stats[0], expected.mean(0), rtol=1e-4, atol=1e-4)
    with pytest.raises(fne.InvalidArgumentError, match=r"timm has no network 'nothing'"):
        fne.Model("timm:nothing")
    with pytest.raises(fne.FileError, match="timmy:resnet50: No such file"):
        fne.Model("timmy:resnet50")
