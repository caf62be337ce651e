"""ONNX networks, against Python's onnxruntime with the layers' values as outputs, averaged by NumPy."""

from __future__ import annotations

import copy
import hashlib
import pickle
import re
import shutil
import subprocess
import sys
import textwrap
import threading

import cv2
import numpy as np
import onnx
import onnx.inliner
import onnx_networks as networks
import pytest
from onnx import TensorProto, helper, numpy_helper

import fne

# These networks are fed with pixels.
pytestmark = pytest.mark.filterwarnings("ignore::fne.PreprocessingWarning")


def saved(model, path, **options):
    onnx.save(copy.deepcopy(model), path, **options)
    return path


def rows(model, batch, **options):
    with fne.Extractor(model, **options) as extractor:
        return extractor.extract(batch).features


def close(found, expected, relative=2e-5, absolute=1e-5):
    assert found.dtype == np.float32 and np.ptp(expected, axis=0).max() > 0.01
    np.testing.assert_allclose(found, expected, rtol=relative, atol=absolute)


@pytest.fixture(scope="module")
def network():
    return networks.convolutional(modules=True)


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    return saved(network[0], tmp_path_factory.mktemp("onnx") / "network.onnx")


# ---- layers and values


@pytest.mark.parametrize("opset", [9, 13, 17, 21])
def test_every_kind_of_layer(opset):
    model, taps = networks.convolutional(opset)
    onnx.checker.check_model(model)
    opened = fne.Model(model.SerializeToString())
    assert opened.engine == "onnxruntime" and opened.notes() == []
    layers = opened.layers()
    assert [layer.name for layer in layers] == [name for name, _ in taps]
    assert [layer.kind for layer in layers] == ["convolution", "depthwise", "convolution", "convolution", "dense"]
    assert [layer.channels for layer in layers] == [12, 12, 12, 20, 16]
    assert [layer.operation for layer in layers] == ["Relu", "Clip", "BatchNormalization", "Mul", "Relu"]
    batch = networks.images(5)
    with fne.Extractor(opened) as extractor:
        assert [layer.name for layer in extractor.layers] == [name for name, _ in taps]
        assert extractor.size == (networks.HEIGHT, networks.WIDTH) and extractor.feature_count == 72
        close(extractor.extract(batch).features, networks.features(model, taps, batch))


@pytest.mark.parametrize(
    "image, kind",
    [
        (("n", networks.HEIGHT, networks.WIDTH, 3), TensorProto.FLOAT),
        (("n", networks.HEIGHT, networks.WIDTH, 3), TensorProto.UINT8),
        (("n", 3, networks.HEIGHT, networks.WIDTH), TensorProto.UINT8),
        (("n", 1, networks.HEIGHT, networks.WIDTH), TensorProto.FLOAT),
        ((1, 3, networks.HEIGHT, networks.WIDTH), TensorProto.FLOAT),
        ((1, networks.HEIGHT, networks.WIDTH, 1), TensorProto.FLOAT),
    ],
)
def test_forms_of_the_input(image, kind):
    model, taps = networks.convolutional(image=image, kind=kind)
    batch = networks.images(3, channels=1 if 1 in image[1:] else 3)
    close(rows(model.SerializeToString(), batch), networks.features(model, taps, batch))


@pytest.mark.parametrize(
    "image",
    [(3, networks.HEIGHT, networks.WIDTH), (networks.HEIGHT, networks.WIDTH, 3), (1, networks.HEIGHT, networks.WIDTH)],
)
def test_pictures_in_the_layout_of_the_network(image, tmp_path):
    """Ten crops, five of them mirrored, of resized pictures. The pixels are OpenCV's, and the crops NumPy's."""
    model, taps = networks.convolutional(image=("n", *image))
    height, width, grey = networks.HEIGHT + 4, networks.WIDTH + 6, image[0] == 1
    mean, scale = np.float32([100, 110, 120]), np.float32([0.5, 0.25, 2])
    rng = np.random.default_rng(4)
    pictures = [rng.integers(0, 256, (*size, 3), np.uint8) for size in [(71, 83), (height, width)]]
    files = [tmp_path / f"{number}.png" for number in range(2)]
    for path, picture in zip(files, pictures, strict=True):
        cv2.imwrite(str(path), picture)

    def crops(picture):
        picture = cv2.resize(picture, (width, height))
        if grey:
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[..., None]
        places = [(0, 0), (0, 6), (4, 0), (4, 6), (2, 3)]
        sides = (picture, picture[:, ::-1])
        parts = [[side[y : y + networks.HEIGHT, x : x + networks.WIDTH] for y, x in places] for side in sides]
        return (np.concatenate(parts).astype(np.float32) - (mean[0] if grey else mean)) * (scale[0] if grey else scale)

    batch = np.concatenate([crops(picture) for picture in pictures])
    options = {"channel_order": "bgr", "mean": mean.tolist(), "scale": scale.tolist()}
    data = model.SerializeToString()
    with fne.Extractor(data, crops=10, resize_size=(height, width), **options) as extractor:
        fed = np.concatenate([extractor.preprocess(path) for path in files])
        np.testing.assert_array_equal(fed, batch)
        found = extractor.extract(files).features.reshape(20, -1)
        close(found, networks.features(model, taps, batch))
        np.testing.assert_allclose(extractor.extract(fed).features, found, rtol=1e-5, atol=1e-5)


def test_sizes_that_the_file_leaves_open():
    model, taps = networks.convolutional(image=("n", 3, "height", "width"))
    data = model.SerializeToString()
    with pytest.raises(fne.InvalidArgumentError, match="does not fix the input's height"):
        fne.Extractor(data)
    batch = networks.images(2, 29, 51)
    close(rows(data, batch, size=(29, 51)), networks.features(model, taps, batch))


def test_float16():
    model, taps = networks.convolutional(kind=TensorProto.FLOAT16)
    batch = networks.images(4)
    close(rows(model.SerializeToString(), batch), networks.features(model, taps, batch), 4e-3, 4e-3)


@pytest.mark.parametrize("place", ["network.data", "weights/network.data"])
def test_weights_beside_the_file(network, tmp_path, place):
    model, taps = network
    (tmp_path / place).parent.mkdir(exist_ok=True)
    path = saved(model, tmp_path / "a.onnx", save_as_external_data=True, location=place, size_threshold=0)
    assert path.stat().st_size < (tmp_path / place).stat().st_size
    batch = networks.images(3)
    close(rows(path, batch), networks.features(model, taps, batch))
    digest = hashlib.sha256(path.read_bytes() + (tmp_path / place).read_bytes()).hexdigest()
    assert fne.Model(path).sha256() == digest
    # A cache of downloads has links with the names, to files of other names in one folder.
    cache, links = tmp_path / "cache" / "blobs", tmp_path / "cache" / "links"
    cache.mkdir(parents=True)
    (links / place).parent.mkdir(parents=True)
    for source, blob, link in [(path, "b1", "a.onnx"), (tmp_path / place, "b2", place)]:
        shutil.copy(source, cache / blob)
        (links / link).symlink_to(cache / blob)
    assert fne.Model(links / "a.onnx").sha256() == digest


def test_the_checksum_is_that_of_the_file(file):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert fne.Model(file).sha256() == fne.Model(file.read_bytes()).sha256() == digest


@pytest.mark.parametrize("make", [networks.transformer, networks.tokens_first, networks.windows])
@pytest.mark.parametrize("pooling, prefix", [("mean", 1), ("first", 1), ("rest", 1), ("first+rest", 3)])
def test_tokens(make, pooling, prefix):
    model, taps = make()
    assert [layer.name for layer in fne.Model(model.SerializeToString()).layers()] == [name for name, _ in taps]
    batch = networks.images(5, width=32 if make is networks.windows else networks.WIDTH)
    found = rows(model.SerializeToString(), batch, token_pooling=pooling, prefix_tokens=prefix)
    close(found, networks.features(model, taps, batch, pooling, prefix))


@pytest.mark.parametrize(
    "make", [networks.convolutional, networks.transformer, networks.tokens_first, networks.windows]
)
def test_rows_do_not_depend_on_the_batch(make):
    batch = networks.images(7, width=32 if make is networks.windows else networks.WIDTH)
    data = make()[0].SerializeToString()
    together = rows(data, batch, batch_size=7)
    for size in (1, 2, 3):
        np.testing.assert_allclose(rows(data, batch, batch_size=size), together, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(rows(data, batch[::-1], batch_size=4), together[::-1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(rows(data, batch[:1], pad_batches=True), together[:1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [networks.transformer, networks.windows])
def test_shapes_that_hold_a_batch_of_one(make):
    """Exporters write the batch into the shapes of Reshape. The library frees it."""
    model, taps = make(1)
    batch = networks.images(5, width=32 if make is networks.windows else networks.WIDTH)
    close(rows(model.SerializeToString(), batch, batch_size=5), networks.features(model, taps, batch))
    with pytest.raises(fne.TensorError, match="batches of 4 images alone.*any size"):
        fne.Extractor(make(4)[0].SerializeToString())


def test_averages_of_many_places_are_exact():
    """A map of 50,176 places with the channels last, whose values are far from 0."""
    net = networks.Network(image=("n", 224, 224, 3))
    x = net.node("Add", net.node("MatMul", "image", net.weights(3, 4)), net.real_constant([30.0, 40.0, 50.0, 60.0]))
    model = net.model(net.node("ReduceMean", x, axes=[1, 2], keepdims=0), rank=2)
    batch = networks.images(3, 224, 224)
    expected = networks.features(model, [(x, "nhwc")], batch)
    for count in (1, 3):
        found = rows(model.SerializeToString(), batch[:count], layers=x, batch_size=count)
        np.testing.assert_allclose(found, expected[:count], rtol=5e-7)


def test_quantized_layers():
    """The features of whole numbers are those after the DequantizeLinear that the file itself has."""
    model, taps = networks.quantized()
    opened = fne.Model(model.SerializeToString())
    assert [layer.channels for layer in opened.layers()] == [8, 12]
    batch = networks.images(3)
    close(rows(opened, batch), networks.features(model, taps, batch))


@pytest.mark.parametrize("images", ["n", 1])
def test_local_response_normalization(images):
    """Each LRN against ONNX Runtime's own, which computes powers by exp and log."""
    model, taps = networks.normalized(images)
    batch = networks.images(5)
    names = [name for name, _ in taps]
    for size in (1, 4):
        found = rows(model.SerializeToString(), batch, layers=names, batch_size=size)
        np.testing.assert_allclose(found, networks.features(model, taps, batch), rtol=1e-5, atol=1e-6)


def test_local_response_normalization_in_half_precision():
    model, taps = networks.normalized(kind=TensorProto.FLOAT16)
    batch = networks.images(2)
    found = rows(model.SerializeToString(), batch, layers=[name for name, _ in taps])
    np.testing.assert_allclose(found, networks.features(model, taps, batch), rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("how", ["reshape", "mean"])
def test_rows_of_mixed_images_are_refused(how):
    model, taps = networks.mixing(how)
    data = model.SerializeToString()
    mixed = model.graph.output[0].name
    with pytest.raises(fne.TensorError, match=f"layer '{mixed}' cannot be told apart"):
        fne.Extractor(data, layers=[taps[0][0], mixed])
    batch = networks.images(3)
    close(rows(data, batch, layers=[taps[0][0]]), networks.features(model, taps, batch))


# ---- selection


def test_selection(network, file):
    taps = [name for name, _ in network[1]]
    model = fne.Model(file)
    modules = ["features.0.0", "features.1.depthwise", "features.1.project", "features.2", None]
    assert [layer.module for layer in model.layers()] == modules
    classifier = [tensor for tensor in model.tensors() if tensor.is_classifier]
    assert [tensor.operation for tensor in classifier] == ["Gemm"] and classifier[0].name not in taps
    assert [tensor.name for tensor in model.penultimate()] == [taps[-1]]
    pool = next(node.output[0] for node in network[0].graph.node if node.op_type == "GlobalAveragePool")
    for selectors, chosen in [
        (None, taps),
        ("all", [*taps, classifier[0].name]),
        ("last:40%", taps[-2:]),
        ("penultimate", taps[-1:]),
        ("features.1.*", taps[1:3]),
        ("*_Relu", [taps[0], taps[4]]),
        (["features.2", taps[0]], [taps[3], taps[0]]),
        ([taps[1], "features.*"], [taps[1], taps[0], taps[2], taps[3]]),
        ([pool], [pool]),
        (classifier[0].name, [classifier[0].name]),
    ]:
        with fne.Extractor(model, layers=selectors) as extractor:
            assert [layer.name for layer in extractor.layers] == chosen
    batch = networks.images(2)
    axes = dict(network[1])
    expected = networks.features(network[0], [(taps[3], "nchw"), (pool, "nchw"), (taps[0], axes[taps[0]])], batch)
    close(rows(model, batch, layers=["features.2", pool, "features.0.0"]), expected)
    with pytest.raises(fne.InvalidArgumentError, match="selected twice"):
        fne.Extractor(model, layers=[taps[0], taps[0]])
    with pytest.raises(fne.UnknownTensorError, match="no tensor 'features.3'"):
        fne.Extractor(model, layers="features.3")
    with pytest.raises(fne.UnknownTensorError, match=f"no tensor '{taps[0]}x'.*{taps[0]}"):
        fne.Extractor(model, layers=taps[0] + "x")


@pytest.mark.parametrize("activated", [False, True])
@pytest.mark.parametrize("split", ["Split", "Slice"])
def test_convolutions_in_groups(split, activated):
    """They are one layer where a graph writes them out, as on TensorFlow."""
    model, taps = networks.grouped(split, activated)
    opened = fne.Model(model.SerializeToString())
    assert [(layer.name, layer.channels) for layer in opened.layers()] == [(taps[0][0], 12), (taps[1][0], 16)]
    batch = networks.images(3)
    close(rows(opened, batch), networks.features(model, taps, batch))
    close(rows(opened, batch, layers="penultimate"), networks.features(model, taps[1:], batch))


@pytest.mark.parametrize("axis", [3, -1])
@pytest.mark.parametrize("together", ["second", "last"])
def test_convolutions_in_groups_of_the_last_axis(together, axis):
    """As tf2onnx writes those of a network whose channels are the last axis. Real groups are a layer in any case."""
    model, taps = networks.grouped_last(together, axis)
    onnx.checker.check_model(model)
    opened = fne.Model(model.SerializeToString())
    kinds = ["convolution", "depthwise", "convolution", "convolution"]
    expected = [(name, kind, channels) for (name, _), kind, channels in zip(taps, kinds, [12, 12, 12, 15], strict=True)]
    assert [(layer.name, layer.kind, layer.channels) for layer in opened.layers()] == expected
    batch = networks.images(3)
    close(rows(opened, batch), networks.features(model, taps, batch))


def test_branches_are_no_groups():
    """Convolutions of one value that meet in a concatenation, and a part without a convolution."""
    model, taps = networks.ending("branches")
    assert [layer.name for layer in fne.Model(model.SerializeToString()).layers()][1:] == [name for name, _ in taps]
    net = networks.Network()
    parts = net.split(net.convolution("image", 3, 12), 1, 3)
    layers = [net.node("Relu", net.convolution(part, 4, 4)) for part in parts[:2]]
    model = net.model(net.node("Concat", *layers, axis=1), rank=4)
    assert [layer.name for layer in fne.Model(model.SerializeToString()).layers()][1:] == layers


# ---- functions of the file


def test_functions():
    """The names are those of onnx.inliner, and the values those of ONNX Runtime's Python with the functions."""
    for unused in (True, False):
        model, taps = networks.with_functions(unused)
        inlined = onnx.inliner.inline_local_functions(model)
        opened, expected = (fne.Model(file.SerializeToString()) for file in (model, inlined))
        assert [tensor[:3] for tensor in opened.tensors()] == [tensor[:3] for tensor in expected.tensors()]
        assert [layer.name for layer in opened.layers()] == [name for name, _ in taps]
        assert [tensor.operation for tensor in opened.tensors()].count("LeakyRelu") == 3
    assert opened.sha256() == hashlib.sha256(model.SerializeToString()).hexdigest()
    batch = networks.images(3)
    names = [*taps, ("last", "nchw")]
    found = rows(opened, batch, layers=[name for name, _ in names])
    close(found, networks.features(model, names, batch))


def test_functions_of_weights_beside_the_file(tmp_path):
    model, taps = networks.with_functions()
    batch = networks.images(2)
    expected = networks.features(model, taps, batch)
    saved(model, tmp_path / "network.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    assert (tmp_path / "weights").stat().st_size > 0
    close(rows(tmp_path / "network.onnx", batch), expected)


def test_functions_that_are_not_read():
    def changed(change):
        return edited(networks.with_functions()[0], change)

    def endless(model):
        model.functions[0].node[0].op_type, model.functions[0].node[0].domain = "activated", "own"

    def growing(model):
        for count in range(20):  # each calls the one before twice
            own = model.functions.add(name=f"f{count}", domain="own", input=["x"], output=["y"])
            own.opset_import.extend(model.functions[0].opset_import)
            for place in range(2):
                node = own.node.add(op_type=f"f{count - 1}" if count else "Relu", domain="own" if count else "")
                node.input.append("xt"[place])
                node.output.append("ty"[place])
        model.graph.node.add(op_type="f19", domain="own", input=["image"], output=["more"])

    def large(model):
        values = numpy_helper.from_array(np.zeros(5_000_000, np.float32))
        node = helper.make_node("Constant", [], ["large"], value=values)
        model.functions[0].node.append(node)

    for change, match in [
        (endless, "calls itself"),
        (growing, "calls itself, or functions are called more than"),
        (large, "take more than 64 MiB"),
        (lambda model: model.functions.append(model.functions[0]), "'own::activated' twice"),
        (lambda model: model.graph.node[0].input.extend(["", ""]), "more inputs or outputs than the function"),
        (lambda model: setattr(model.functions[0].opset_import[0], "version", 13), "has version 13 .*convert_version"),
    ]:
        with pytest.raises(fne.GraphError, match=match):
            fne.Model(changed(change))
    with pytest.raises(fne.UnsafeGraphError, match="inner__1.*own.activated"):
        fne.Model(changed(lambda model: model.functions.pop(0)))


# ---- what classifiers read


KINDS = ["branches", "pooled branches", "residual", "branch and residual", "tokens", "dense"]


@pytest.mark.parametrize("converted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_classifier_reads(kind, converted):
    """The selector "penultimate", by the rule that networks on TensorFlow have."""
    model, taps = networks.ending(kind, converted)
    opened = fne.Model(model.SerializeToString())
    names = [name for name, _ in taps]
    assert [tensor.name for tensor in opened.tensors() if tensor.is_penultimate] == names
    batch = networks.images(4)
    found = rows(opened, batch, layers="penultimate")
    close(found, networks.features(model, taps, batch))
    # It is the vector that the last layer reads.
    gemm = next(node for node in reversed(model.graph.node) if node.op_type == "Gemm")
    close(found, networks.values(model, batch, [gemm.input[0]])[0])


def test_tensors_of_a_network_that_was_converted():
    """The channels of a sum are the second axis, although those of the image are the last one."""
    model, _ = networks.ending("residual", converted=True)
    batch = networks.images(3)
    total = next(node.output[0] for node in model.graph.node if node.op_type == "Add")
    last = next(node.output[0] for node in model.graph.node if node.op_type == "Transpose")
    close(rows(model.SerializeToString(), batch, layers=total), networks.features(model, [(total, "nchw")], batch))
    close(rows(model.SerializeToString(), batch, layers=last), networks.features(model, [(last, "nchw")], batch))


@pytest.mark.parametrize(
    "make", [networks.convolutional, networks.transformer, networks.tokens_first, networks.windows, networks.quantized]
)
def test_shapes(make):
    """Those that ONNX Runtime's Python gives for one image and for two."""
    model, _ = make()
    size = (networks.HEIGHT, 32 if make is networks.windows else networks.WIDTH)
    opened = fne.Model(model.SerializeToString())
    names = [tensor.name for tensor in opened.tensors()]
    made = [name for name in names if name != "image"]
    one, two = (networks.values(model, networks.images(count, *size), made) for count in (1, 2))
    expected = {
        name: (a.shape if a.shape[1:] == b.shape[1:] and 2 * a.shape[0] == b.shape[0] else None) if a.shape else None
        for name, a, b in zip(made, one, two, strict=True)
    }
    found = dict(zip(names, opened.shapes(size=size), strict=True))
    assert found.pop("image") == (1, 3, *size)
    assert found == expected and sum(shape is not None for shape in found.values()) > 5


def test_shapes_of_a_size():
    model = fne.Model(networks.convolutional(image=("n", 3, "h", "w"))[0].SerializeToString())
    place = [tensor.name for tensor in model.tensors()].index(model.layers()[0].name)
    assert model.shapes(size=(40, 56))[place] == (1, 12, 18, 26)
    with pytest.raises(fne.InvalidArgumentError, match="does not fix the input's height"):
        model.shapes()
    with pytest.raises(fne.UnknownTensorError, match="not the input"):
        model.shapes("nothing", (40, 56))


def warnings_of(call):
    """What a call returns, and the warnings that the log gets."""
    found = []
    fne.set_log_callback(lambda level, text: found.append(text) if level == "warning" else None)
    try:
        return call(), found
    finally:
        fne.set_log_callback(None)


@pytest.mark.parametrize(("pooling", "prefix"), [("mean", 1), ("first", 1), ("rest", 2), ("first+rest", 1)])
def test_a_network_that_takes_one_image_at_a_time(pooling, prefix):
    """Its shapes cannot be changed for several. The rows are those of runs of one image, and a warning says why."""
    model, taps = networks.bound_to_one()
    batch = networks.images(5)
    options = {"token_pooling": pooling, "prefix_tokens": prefix}
    expected = [networks.features(model, taps, batch[place : place + 1], pooling, prefix) for place in range(5)]
    for size in (None, 1, 4):
        data = model.SerializeToString()
        found, said = warnings_of(lambda data=data, size=size: rows(data, batch, batch_size=size, **options))
        close(found, np.concatenate(expected))
        assert len(said) == 1 and re.search("one at a time.*dynamic_axes, or dynamic_shapes", said[0]), said
    with fne.Extractor(model.SerializeToString()) as extractor:
        assert extractor.batch_size == 1
    shapes = fne.Model(model.SerializeToString()).shapes()
    assert shapes[1] == (1, networks.CHANNELS, 4, 5)


def test_a_freed_network_has_no_warning():
    data = networks.transformer(1)[0].SerializeToString()
    assert warnings_of(lambda: fne.Extractor(data).close())[1] == []


def test_paths_of_modules():
    """By the metadata of PyTorch's newest exporter, and by the names of nodes that the older one made."""
    model, _ = networks.convolutional()
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    scopes = ["/features/features.0/Conv", "/features/features.1/conv/Conv", None, None, "/head/Gemm"]
    for node, scope in zip(layers, scopes, strict=False):
        node.name = scope or node.name
    scopes = ["['', 'features', 'features.2', 'conv']", "['', 'tail', 'conv']"]
    for node, scope in zip(layers[2:4], scopes, strict=True):
        node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scope)
    opened = fne.Model(model.SerializeToString())
    paths = ["features.0", "features.1.conv", "features.2", "tail", "head"]
    assert [layer.module for layer in opened.layers()] == paths
    with fne.Extractor(opened, layers=["features.[12]*", "head"]) as extractor:
        assert [layer.name for layer in extractor.layers] == [opened.layers()[place].name for place in (1, 2, 4)]


def test_names_as_tf2onnx_writes_them():
    """With ":0", which may be left out. A value of exactly the name comes first."""
    model, taps = networks.convolutional()
    text = model.SerializeToString().replace(b"node4_Relu", b"stem/Act:0")
    batch = networks.images(2)
    expected = networks.features(model, taps[:1], batch)
    for name in ("stem/Act:0", "stem/Act", "stem/*"):
        close(rows(text, batch, layers=name), expected)


def test_layers_inside_of_conditions():
    """They are not among the layers, and a note says so."""
    net = networks.Network()
    x = net.tap(net.node("Relu", net.convolution("image", 3, 8)), "nchw")
    branches = {}
    for branch in ("then_branch", "else_branch"):
        kernel = numpy_helper.from_array(np.ones((4, 8, 1, 1), np.float32), f"{branch}_kernel")
        node = helper.make_node("Conv", [x, kernel.name], [f"{branch}_map"])
        value = helper.make_tensor_value_info(f"{branch}_map", TensorProto.FLOAT, None)
        branches[branch] = helper.make_graph([node], branch, [], [value], [kernel])
    x = net.node("If", net.constant(np.array(True)), **branches)
    x = net.tap(net.node("Relu", net.convolution(x, 4, 6)), "nchw")
    model = fne.Model(net.model(x, rank=4).SerializeToString())
    assert [layer.name for layer in model.layers()] == [name for name, _ in net.taps]
    assert len(model.notes()) == 1 and "2 of its layers are inside of conditions" in model.notes()[0]
    batch = networks.images(2)
    close(rows(model, batch), networks.features(net.model(x, rank=4), net.taps, batch))


# ---- what is refused


def edited(model, change):
    model = copy.deepcopy(model)
    change(model)
    return model.SerializeToString()


def test_files_that_are_not_read(network, file, tmp_path):
    model = network[0]

    def optimized(model):
        node = next(node for node in model.graph.node if node.op_type == "Conv")
        node.domain, node.op_type = "com.microsoft", "FusedConv"
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    def custom(model):
        model.graph.node[0].domain = "my.company"

    def old(model):
        model.opset_import[0].version = 8

    def training(model):
        node = next(node for node in model.graph.node if node.op_type == "BatchNormalization")
        node.attribute.append(helper.make_attribute("training_mode", 1))

    def two_inputs(model):
        model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n"]))
        model.graph.node[-1].input[0] = "sum"
        before = model.graph.node[-2].output[0]
        model.graph.node.insert(len(model.graph.node) - 1, helper.make_node("Add", [before, "mask"], ["sum"]))

    def cycle(model):
        model.graph.node[0].input[0] = model.graph.node[3].output[0]

    for change, kind, message in [
        (optimized, fne.UnsafeGraphError, "FusedConv.*optimized for a runtime"),
        (custom, fne.UnsafeGraphError, "my.company.*not on the list"),
        (old, fne.GraphError, "version 8.*9 to"),
        (training, fne.GraphError, r"BatchNormalization.*eval\(\)"),
        (cycle, fne.GraphError, "cycle"),
    ]:
        with pytest.raises(kind, match=message):
            fne.Model(edited(model, change))
    with pytest.raises(fne.TensorError, match="several inputs, 'image', 'mask'"):
        fne.Extractor(edited(model, two_inputs))
    data = file.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: len(data) // 2])
    with pytest.raises(fne.GraphError, match="cut.onnx"):
        fne.Model(tmp_path / "cut.onnx")
    with pytest.raises(fne.FileError, match="none.onnx"):
        fne.Model(tmp_path / "none.onnx")


def test_a_file_that_ends_early(file):
    """At 100 places from the beginning to the end, so that every part of the structure is cut."""
    data = file.read_bytes()
    for end in np.linspace(1, len(data) - 1, 100).astype(int):
        with pytest.raises(fne.FNEError, match="."):
            fne.Extractor(data[:end]).close()


def test_options_that_are_not_taken(file):
    for options, message in [
        ({"precision": "bfloat16"}, "precision is bfloat16.*float32"),
        ({"device": "gpu"}, "device is 'gpu.*'cpu'"),
        ({"size": (33, 40)}, "height is 33.*fixed height of 32"),
        ({"input_tensor": "other"}, "'other' is not the input.*'image'"),
    ]:
        with pytest.raises((fne.InvalidArgumentError, fne.UnknownTensorError), match=message):
            fne.Extractor(file, **options)
    with pytest.raises(fne.InvalidArgumentError, match="feed 'train=false'.*image alone"):
        fne.Model(file, feeds={"train": False})


def test_weights_that_are_not_there(network, tmp_path):
    path = saved(network[0], tmp_path / "a.onnx", save_as_external_data=True, location="a.data", size_threshold=0)
    data = tmp_path / "a.data"
    whole = data.read_bytes()
    with pytest.raises(fne.GraphError, match="beside the model.*given in memory.*path"):
        fne.Model(path.read_bytes())
    data.write_bytes(whole[:-1])
    with pytest.raises(fne.GraphError, match="cut off"):
        fne.Model(path)
    data.unlink()
    with pytest.raises(fne.FileError, match="a.data"):
        fne.Model(path)
    outside = tmp_path / "outside" / "a.onnx"
    outside.parent.mkdir()
    data.write_bytes(whole)
    (outside.parent / "a.data").symlink_to(data)
    outside.write_bytes(path.read_bytes())
    with pytest.raises(fne.GraphError, match="outside of the model's folder"):
        fne.Model(outside)
    for location in ("../a.data", str(data)):
        other = onnx.load(path, load_external_data=False)
        for tensor in other.graph.initializer:
            next(entry for entry in tensor.external_data if entry.key == "location").value = location
        outside.write_bytes(other.SerializeToString())
        with pytest.raises(fne.GraphError, match="no path inside of the model's folder"):
            fne.Model(outside)


MUTANTS = """
    import random, sys
    import numpy as np
    import fne

    batch = np.full((2, 32, 40, 3), 90, np.float32)
    opened = refused = 0
    for path in sys.argv[2:]:
        with open(path, "rb") as file:
            original = file.read()
        for number in range(int(sys.argv[1])):
            values = random.Random(number)
            data = bytearray(original)
            # The structure is at the beginning of nodes and between the weights. Half of the bytes fall into the nodes.
            for _ in range(values.choice([1, 1, 2, 8])):
                at = values.randrange(values.choice([len(data), 2500]))
                data[at] = values.choice([values.randrange(256), data[at] ^ 1 << values.randrange(8), 0, 127, 255])
            try:
                with fne.Extractor(bytes(data), size=(32, 40)) as extractor:
                    features = extractor.extract(batch).features
                    assert features.shape == (2, extractor.feature_count)
                opened += 1
            except fne.FNEError as error:
                assert str(error)
                refused += 1
    print(opened, refused)
"""


def child(program, *arguments, **options):
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_damaged_files(file, tmp_path):
    """Whatever a file holds, there are rows or an error."""
    others = [
        saved(make()[0], tmp_path / f"{make.__name__}.onnx") for make in (networks.transformer, networks.tokens_first)
    ]
    result = child(MUTANTS, 200, file, *others)
    assert result.returncode == 0, (result.returncode, result.stderr[-2000:])
    opened, refused = map(int, result.stdout.split())
    assert opened + refused == 600 and opened > 100 and refused > 100, result.stdout


MEMORY = """
    import resource, sys
    import numpy as np
    import numpy.ma  # what Python loads by itself must not run into the limit
    import fne

    model = fne.Model(sys.argv[1])
    fne.load_backend(engine="onnxruntime")
    batch = np.full((8, 32, 40, 3), 90, np.float32)
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    for more in [*range(0, 24), 128, 800, 1200]:
        resource.setrlimit(resource.RLIMIT_AS, (taken + more * 2**18, unlimited[1]))
        try:
            fne.Extractor(model, streams=1).extract(batch)
            outcome = "rows"
        except MemoryError as error:
            outcome = f"{type(error).__name__} {error}"
        resource.setrlimit(resource.RLIMIT_AS, unlimited)
        print(outcome)
    print(fne.Extractor(model).extract(batch).features.shape)
"""


def test_limits_of_memory(file):
    """From nothing to 300 MiB more than the process has: rows or an error, and the process goes on.

    ONNX Runtime 1.32 may end the process where it opens a network with less than 4 MiB.
    """
    result = child(MEMORY, file)
    assert result.returncode == 0, (result.returncode, result.stderr)
    outcomes = result.stdout.splitlines()
    assert outcomes.pop() == "(8, 72)" and outcomes[-2:] == ["rows"] * 2, outcomes
    refused = [outcome for outcome in outcomes if outcome != "rows"]
    assert len(refused) > 24 and all("MemoryError" in outcome for outcome in refused)
    assert re.search(r"RLIMIT_AS.*ONNX Runtime needs about 64 MiB.*'ulimit -v unlimited'", refused[-1])


# ---- use


def test_threads(file):
    batch = networks.images(6)
    with fne.Extractor(file) as extractor:
        alone = extractor.extract(batch).features
        found = [None] * 4

        def extract(place):
            found[place] = extractor.extract(batch).features

        threads = [threading.Thread(target=extract, args=[place]) for place in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for features in found:
        np.testing.assert_array_equal(features, alone)


def test_forks(file):
    result = child(
        """
        import os, sys
        import numpy as np
        import fne

        extractor = fne.Extractor(sys.argv[1])
        batch = np.full((1, 32, 40, 3), 90, np.float32)
        rows = extractor.extract(batch).features
        if os.fork() == 0:
            for call in (lambda: extractor.extract(batch), lambda: fne.Extractor(sys.argv[1])):
                try:
                    call()
                except fne.ForkedError as error:
                    print("spawn" in str(error), flush=True)
            os._exit(0)
        assert os.wait()[1] == 0
        print((extractor.extract(batch).features == rows).all(), fne.backend_info("tensorflow") == ("", ""))
        """,
        file,
    )
    assert result.stdout.split() == ["True"] * 4, result.stderr


def test_cancelling(file):
    class Stop(Exception):
        pass

    def progress(done, total):
        if done >= 4:
            raise Stop

    batch = networks.images(40)
    with fne.Extractor(file, batch_size=2, streams=1) as extractor:
        with pytest.raises(Stop):
            extractor.extract(batch, progress=progress)
        assert extractor.extract(batch).features.shape == (40, 72)


def test_images_that_are_skipped(file, photographs, tmp_path):
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(photographs[0].read_bytes()[:2000])
    with fne.Extractor(file, on_error="skip") as extractor:
        found = extractor.extract([photographs[0], damaged, photographs[1]])
        assert found.ok.tolist() == [True, False, True] and np.isnan(found.features[1]).all()
        tensor = np.concatenate([extractor.preprocess(path) for path in photographs[:2]])
        np.testing.assert_allclose(found.features[found.ok], extractor.extract(tensor).features, rtol=1e-5, atol=1e-5)


def test_pickles(file):
    batch = networks.images(3)
    for source in (file, file.read_bytes()):
        with fne.Model(source) as model, pickle.loads(pickle.dumps(model)) as again:
            assert again.engine == "onnxruntime" and again.sha256() == model.sha256()
        extractor = fne.Extractor(source, layers=["features.*"])
        with extractor, pickle.loads(pickle.dumps(extractor)) as again:
            assert again.layers == extractor.layers
            np.testing.assert_array_equal(again.extract(batch).features, extractor.extract(batch).features)
