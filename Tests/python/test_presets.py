"""Presets, and preprocessing that stands beside a model: what is fed, against Pillow, NumPy and Keras."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
import warnings

import numpy as np
import onnx_networks as networks
import PIL.Image
import pytest
from onnx import TensorProto, helper
from test_images import photograph
from test_preprocessing import center_crop, shortest_side

import fne

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
BILINEAR, BICUBIC = PIL.Image.Resampling.BILINEAR, PIL.Image.Resampling.BICUBIC
SIDES = networks.HEIGHT, networks.WIDTH


@pytest.fixture(scope="module")
def fixed_network():
    """Its input has 32 x 40 pixels, channels first."""
    return networks.convolutional()[0].SerializeToString()


@pytest.fixture(scope="module")
def open_network():
    """Its input has any size."""
    return networks.convolutional(image=("n", 3, "height", "width"))[0].SerializeToString()


def resized(image, size, curve):
    """Over the width first, as libfne does always."""
    narrow = PIL.Image.fromarray(image).resize((size[1], image.shape[0]), curve)
    return np.asarray(narrow.resize((size[1], size[0]), curve))


def shorter_side_then_centre(image, side, crop, curve):
    return center_crop(resized(image, shortest_side(*image.shape[:2], side), curve), *crop)


def normalized(pixels, mean, std):
    """As torchvision's ToTensor and Normalize, in float64."""
    return (pixels / 255 - np.array(mean)) / np.array(std)


def close(found, expected):
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def fed(model, image, **options):
    with fne.Extractor(model, **options) as extractor:
        return extractor.preprocess(image)[0]


# ---- presets


@pytest.mark.parametrize("size", [(70, 90), (300, 200), (33, 400)])
@pytest.mark.parametrize("side, larger", [(64, 73), (224, 256), (299, 341)])
def test_presets(open_network, size, side, larger):
    """The shorter side becomes the network's side times 8/7, of which the centre is cut out. CLIP cuts nothing off."""
    image = photograph(*size)
    crop = (side, side)
    bilinear = shorter_side_then_centre(image, larger, crop, BILINEAR).astype(float)
    bicubic = shorter_side_then_centre(image, larger, crop, BICUBIC).astype(float)
    whole = shorter_side_then_centre(image, side, crop, BICUBIC).astype(float)
    for preset, expected in [
        ("imagenet", normalized(bilinear, *IMAGENET)),
        ("inception", bicubic / 127.5 - 1),
        ("clip", normalized(whole, *CLIP)),
        ("caffe", bilinear[..., ::-1] - [103.939, 116.779, 123.68]),
    ]:
        close(fed(open_network, image, size=crop, preset=preset), expected)


def test_numbers_are_those_of_keras(open_network):
    from tensorflow.keras.applications import imagenet_utils

    image = photograph(64, 64)
    options = {"size": (64, 64), "resize_size": (64, 64)}
    for preset, mode in [("caffe", "caffe"), ("inception", "tf"), ("imagenet", "torch")]:
        expected = imagenet_utils.preprocess_input(image.astype(np.float64), mode=mode)
        close(fed(open_network, image, preset=preset, **options), expected)


def test_raw_is_what_no_preset_is(graph):
    image = photograph(50, 70)
    np.testing.assert_array_equal(fed(graph, image, size=(48, 64), preset="raw"), fed(graph, image, size=(48, 64)))


def test_options_overrule_a_preset(open_network):
    image = photograph(70, 90)
    options = {"size": (64, 64), "preset": "imagenet", "interpolation": "bicubic", "mean": 0, "resize_size": (66, 66)}
    expected = shorter_side_then_centre(image, 66, (64, 64), BICUBIC) / 255 / IMAGENET[1]
    close(fed(open_network, image, **options), expected)
    squeezed = fed(open_network, image, size=(64, 64), preset="raw", scale=2, channel_order="bgr")
    np.testing.assert_array_equal(squeezed, 2 * np.float32(fne.resize(image, (64, 64))[..., ::-1]))


def test_presets_everywhere(fixed_network, photographs, tmp_path):
    """The same rows from an extractor, a job, the original's function, scikit-learn and a copy."""
    from fne.sklearn import FullNetworkFeatures

    paths = photographs[:6]
    (tmp_path / "network.onnx").write_bytes(fixed_network)
    with fne.Extractor(fixed_network, preset="imagenet", pad_batches=True) as extractor:
        assert extractor.preprocessing_source == "the preset 'imagenet'"
        expected = extractor.extract(paths).features
        again = pickle.loads(pickle.dumps(extractor))
        np.testing.assert_array_equal(again.extract(paths).features, expected)
    job = fne.embed_dataset(paths, fixed_network, tmp_path / "job", preset="imagenet")
    np.testing.assert_array_equal(job.features(), expected)
    with job.extractor(fixed_network) as further:
        np.testing.assert_array_equal(further.extract(paths).features, expected)
    with warnings.catch_warnings(), job.extractor(fixed_network, preset="raw") as raw:
        warnings.simplefilter("error")
        assert np.abs(raw.extract(paths).features - expected).max() > 1
    source = job.manifest["settings"]["input"]
    assert source["resize_mode"] == "shortest_side" and source["interpolation"] == "antialiased"
    assert (source["resize_height"], source["resize_width"]) == tuple(math.floor(side / 0.875) for side in SIDES)
    codes, stats = fne.full_network_embedding(fixed_network, paths, 4, None, None, None, preset="imagenet")
    np.testing.assert_array_equal(codes, fne.ternarize(expected, stats[0], stats[1]))
    estimator = FullNetworkFeatures(fixed_network, preset="imagenet", cache=None).fit()
    np.testing.assert_array_equal(estimator.transform(paths), expected)


def test_a_preset_with_a_size_of_one_number(lite0, photographs):
    one, both = (fne.Extractor(lite0, size=size, preset="imagenet") for size in (224, (224, 224)))
    np.testing.assert_array_equal(one.preprocess(photographs[0]), both.preprocess(photographs[0]))


def test_presets_in_a_worker(fixed_network, photographs):
    """As Ray's and Spark's workers embed."""
    from fne._cluster import worker

    found = worker.features(worker.plan(fixed_network, {"preset": "caffe"}, True), photographs[:5])
    with fne.Extractor(fixed_network, preset="caffe", pad_batches=True) as extractor:
        np.testing.assert_array_equal(found.values, extractor.extract(photographs[:5]).features)
    assert (found.statuses == 0).all()


def test_wrong_presets(fixed_network):
    with pytest.raises(ValueError, match="preset is 'imagnet'; it must be one of 'imagenet', 'inception', 'clip'"):
        fne.Extractor(fixed_network, preset="imagnet")
    with pytest.raises(TypeError, match="preset is a int"):
        fne.Extractor(fixed_network, preset=3)


# ---- what stands beside a model


def beside(folder, network, name, entries):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "network.onnx").write_bytes(network)
    (folder / name).write_text(json.dumps(entries))
    return folder / "network.onnx"


def silent(model, image, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return fed(model, image, **options)


HALF = (0.5, 0.5, 0.5)
VIT = {
    "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": HALF, "image_std": HALF, "resample": 2,
    "image_processor_type": "ViTImageProcessor", "rescale_factor": 1 / 255, "size": {"height": 48, "width": 48},
}  # fmt: skip # a table
OPENAI = {
    "crop_size": 48, "do_center_crop": True, "do_normalize": True, "do_resize": True, "image_mean": CLIP[0],
    "feature_extractor_type": "CLIPFeatureExtractor", "image_std": CLIP[1], "resample": 3, "size": 60,
}  # fmt: skip # a table
MOBILE = {"do_flip_channel_order": True, "do_normalize": False, "size": {"shortest_edge": 60}, "crop_size": 48}
CONVNEXT = {**VIT, "size": {"shortest_edge": 48}, "crop_pct": 0.8, "resample": 3}


@pytest.mark.parametrize(
    "entries, expected",
    [
        (VIT, lambda image: resized(image, (48, 48), BILINEAR) / 127.5 - 1),
        (OPENAI, lambda image: normalized(shorter_side_then_centre(image, 60, (48, 48), BICUBIC), *CLIP)),
        (CONVNEXT, lambda image: shorter_side_then_centre(image, 60, (48, 48), BICUBIC) / 127.5 - 1),
        (MOBILE, lambda image: shorter_side_then_centre(image, 60, (48, 48), BILINEAR)[..., ::-1] / 255),
        (
            {**VIT, "size": 64, "do_center_crop": True, "crop_size": {"height": 48, "width": 48}, "do_rescale": False},
            lambda image: (center_crop(resized(image, (64, 64), BILINEAR), 48, 48) - 0.5) / 0.5,
        ),
    ],
)
def test_hugging_faces_file(open_network, tmp_path, entries, expected):
    """The image processors' steps, in float64. The folder "onnx" may have the file above it."""
    image = photograph(70, 90)
    model = beside(tmp_path / "beside", open_network, "preprocessor_config.json", entries)
    close(silent(model, image), expected(image))
    below = tmp_path / "beside" / "onnx" / "network.onnx"
    below.parent.mkdir()
    model.rename(below)
    close(silent(below, image), expected(image))


TIMM = {
    "mean": IMAGENET[0], "std": IMAGENET[1], "interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "center",
    "input_size": [3, 48, 48], "num_classes": 1000, "pool_size": None, "fixed_input_size": True, "first_conv": "conv1",
}  # fmt: skip # a table


@pytest.mark.parametrize(
    "changed, expected",
    [
        ({}, lambda image: shorter_side_then_centre(image, 50, (48, 48), BICUBIC)),
        ({"crop_mode": "squash"}, lambda image: center_crop(resized(image, (50, 50), BICUBIC), 48, 48)),
        ({"crop_pct": 1.0, "interpolation": "bilinear"},
         lambda image: shorter_side_then_centre(image, 48, (48, 48), BILINEAR)),
    ],
)  # fmt: skip # a table
def test_timms_file(open_network, tmp_path, changed, expected):
    """timm divides the input's side by crop_pct, and rounds down: 48 / 0.95 is 50."""
    image = photograph(70, 90)
    entries = {"architecture": "resnet", "pretrained_cfg": {**TIMM, **changed}}
    model = beside(tmp_path, open_network, "config.json", entries)
    close(silent(model, image), normalized(expected(image), *IMAGENET))
    with fne.Extractor(model) as extractor:
        assert extractor.preprocessing_source == f"'{tmp_path / 'config.json'}'"


def test_what_comes_first(open_network, tmp_path):
    """An option, then a preset, then the file of the model's own name, then Hugging Face's, then timm's."""
    image = photograph(70, 90)
    model = beside(tmp_path, open_network, "config.json", {"pretrained_cfg": TIMM})
    beside(tmp_path, open_network, "preprocessor_config.json", VIT)
    close(silent(model, image), resized(image, (48, 48), BILINEAR) / 127.5 - 1)
    close(silent(model, image, mean=0), resized(image, (48, 48), BILINEAR) / 127.5)
    close(silent(model, image, size=(40, 40)), resized(image, (40, 40), BILINEAR) / 127.5 - 1)
    expected = fne.resize(image, (48, 48)).astype(np.float32)
    np.testing.assert_array_equal(silent(model, image, preset="raw", size=(48, 48)), expected)
    (tmp_path / "network.config.json").write_text(json.dumps({"pretrained_cfg": {**TIMM, "mean": HALF, "std": HALF}}))
    close(silent(model, image), shorter_side_then_centre(image, 50, (48, 48), BICUBIC) / 127.5 - 1)


def test_a_graphdef_reads_no_file(graph, tmp_path):
    (tmp_path / "network.pb").write_bytes(graph.read_bytes())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(VIT))
    image = photograph(48, 64)
    np.testing.assert_array_equal(silent(tmp_path / "network.pb", image, size=(48, 64)), np.float32(image))


def test_a_network_of_whole_numbers_takes_its_size_alone(tmp_path):
    model = networks.convolutional(image=("n", 3, "height", "width"), kind=TensorProto.FLOAT)[0]
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    name, first = model.graph.input[0].name, model.graph.node[0]
    assert [node.name for node in model.graph.node if name in node.input] == [first.name]
    first.input[0] = "as_float"
    model.graph.node.insert(0, helper.make_node("Cast", [name], ["as_float"], to=TensorProto.FLOAT))
    path = beside(tmp_path, model.SerializeToString(), "preprocessor_config.json", VIT)
    image = photograph(70, 90)
    np.testing.assert_array_equal(silent(path, image), np.float32(resized(image, (48, 48), BILINEAR)))
    assert fne.Model(path).input() == ("image", (None, None), 3, True)


# ---- warnings


def told(model, **options):
    with pytest.warns(fne.PreprocessingWarning) as caught, fne.Extractor(model, **options):
        pass
    assert all(warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught]


def test_nothing_known_is_a_warning_that_names_the_presets(fixed_network, tmp_path):
    (message,) = told(fixed_network)
    for word in ["'imagenet'", "'inception'", "'clip'", "'caffe'", "'raw'", "preprocessor_config.json"]:
        assert word in message
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 12}))  # no preprocessing is in it
    (tmp_path / "network.onnx").write_bytes(fixed_network)
    assert told(tmp_path / "network.onnx") == [message]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in [{"preset": "raw"}, {"mean": 0}, {"scale": 1 / 255}, {"channel_order": "rgb"}]:
            fne.Extractor(fixed_network, **options).close()
        fne.Extractor(fne.zoo.efficientnet_lite0("onnxruntime")).close()
    with pytest.warns(fne.PreprocessingWarning) as caught:
        fne.embed_dataset(fne.zoo.sample_images()[:2], fixed_network, tmp_path / "job")
    (warning,) = [one for one in caught if one.category is fne.PreprocessingWarning]
    assert warning.filename == __file__


@pytest.mark.parametrize(
    "name, entries, words",
    [
        ("preprocessor_config.json", {**VIT, "do_sharpen": True}, ["'do_sharpen' is not known"]),
        ("preprocessor_config.json", {**VIT, "resample": 0}, ["'resample' is 0", "taken as bicubic"]),
        ("preprocessor_config.json", {**VIT, "image_std": [1, 0, 1]}, ["'image_std'", "not normalized"]),
        ("preprocessor_config.json", {**VIT, "do_pad": True}, ["'do_pad' is True"]),
        ("preprocessor_config.json", {**VIT, "size": {"longest_edge": 50}}, ["'size' is"]),
        ("preprocessor_config.json", {**VIT, "size": 10**9}, ["'size' is 1000000000"]),
        ("preprocessor_config.json", {**VIT, "rescale_factor": "much"}, ["'rescale_factor' is 'much'"]),
        ("config.json", {"pretrained_cfg": {**TIMM, "crop_mode": "border"}}, ["'crop_mode' is 'border'"]),
        ("config.json", {"pretrained_cfg": {**TIMM, "interpolation": "lanczos"}}, ["'interpolation' is 'lanczos'"]),
        ("config.json", {"pretrained_cfg": {**TIMM, "colour": 1}}, ["'colour' is not known"]),
        ("config.json", {"pretrained_cfg": {**TIMM, "input_size": [3, -1, 48]}}, ["'input_size'"]),
    ],
)
def test_entries_that_cannot_be_taken_are_named(fixed_network, tmp_path, name, entries, words):
    messages = told(beside(tmp_path, fixed_network, name, entries))
    assert messages and all(str(tmp_path / name) in message for message in messages)
    assert all(any(word in message for message in messages) for word in words), messages


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"{", "is damaged"),
        (b"[1]", "is damaged"),
        (b'{"a": NaN}', "NaN"),
        (b" " * 2**21, "has more than 1048576 bytes"),
    ],
)
def test_a_damaged_file_is_not_taken(fixed_network, tmp_path, content, reason):
    (tmp_path / "network.onnx").write_bytes(fixed_network)
    (tmp_path / "preprocessor_config.json").write_bytes(content)
    first, second = told(tmp_path / "network.onnx")
    assert reason in first and first.endswith("it is not taken") and "nothing says" in second


# ---- engines


def test_engines(fixed_network, graph, tmp_path):
    (tmp_path / "network.onnx").write_bytes(fixed_network)
    assert fne.Model(fixed_network, engine="onnxruntime").engine == "onnxruntime"
    assert fne.Model(graph, engine="tensorflow").engine == "tensorflow"
    with pytest.raises(fne.InvalidArgumentError, match=r"network\.onnx is an ONNX file, which TensorFlow does not run"):
        fne.Model(tmp_path / "network.onnx", engine="tensorflow")
    with pytest.raises(fne.InvalidArgumentError, match="does not run. Leave engine out, or convert .* with tf2onnx"):
        fne.Extractor(graph, size=(48, 64), engine="onnxruntime")
    with pytest.raises(fne.InvalidArgumentError, match="ONNX Runtime does not run"):
        fne.embed_dataset(fne.zoo.sample_images()[:2], graph, tmp_path / "job", size=(48, 64), engine="onnxruntime")
    with pytest.raises(ValueError, match="engine is 'torch'; it must be one of 'tensorflow', 'onnxruntime'"):
        fne.Model(fixed_network, engine="torch")


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "fne", *map(str, arguments)], capture_output=True, text=True)


def test_the_command(fixed_network, photographs, tmp_path):
    model = tmp_path / "network.onnx"
    model.write_bytes(fixed_network)
    out = run("layers", model, "--engine", "onnxruntime")
    assert out.returncode == 0, out.stderr
    assert "reads images of 32 x 40 pixels, three channels: image" in out.stdout
    assert "nothing beside it says how it is fed; --preset takes imagenet, inception, clip, caffe, raw" in out.stdout
    refused = run("layers", model, "--engine", "tensorflow")
    assert refused.returncode == 1 and "which TensorFlow does not run" in refused.stderr
    (tmp_path / "list.txt").write_text("\n".join(map(str, photographs[:10])))
    warned = run("embed", tmp_path / "list.txt", model, tmp_path / "job")
    assert warned.returncode == 0 and warned.stderr.count("nothing says which numbers this ONNX network expects") == 1
    quiet = run("embed", tmp_path / "list.txt", model, tmp_path / "preset", "--preset", "clip")
    assert quiet.returncode == 0 and not quiet.stderr
    scale = fne.Job(tmp_path / "preset").manifest["settings"]["input"]["scale"]
    np.testing.assert_allclose(scale, 1 / (255 * np.array(CLIP[1])), rtol=1e-6)
    beside_it = tmp_path / "config.json"
    beside_it.write_text(json.dumps({"pretrained_cfg": TIMM}))
    assert f"is fed as '{beside_it}' says" in run("layers", model).stdout
    lines = [line.strip() for line in run("doctor", model).stdout.splitlines()[-3:]]
    assert lines[0].endswith("network.onnx: 5 layers, for onnxruntime")
    assert lines[1:] == ["reads images of 32 x 40 pixels, three channels: image", f"is fed as '{beside_it}' says"]
