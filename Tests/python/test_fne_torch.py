"""fne.fne_torch beside the fne 1.x package itself, which `make extras` puts aside."""

from __future__ import annotations

import copy
import gc
import importlib.util
import io
import pickle
import re
import threading
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torchvision
from conftest import ROOT
from sklearn.svm import LinearSVC
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fne
from fne import fne_torch

warnings.filterwarnings("ignore", category=FutureWarning)


@pytest.fixture(scope="module")
def original():
    specification = importlib.util.spec_from_file_location("fne_1", ROOT / ".build/original/fne/fne_torch.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


class Recorder:
    """A classifier that remembers what it is given."""

    def fit(self, features, labels):
        self.fitted = (features, labels)

    def predict(self, features):
        self.asked = features
        return (features.sum(1) > 0).astype(np.int64)


def small():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(48, 10),
    ).eval()


def loader(count=23, size=32, batch=7):
    generator = torch.Generator().manual_seed(5)
    data = TensorDataset(torch.randn(count, 3, size, size + 3, generator=generator), torch.arange(count) % 3)
    return DataLoader(data, batch_size=batch)


def compare(mine, theirs, features_equal=1e-5):
    """What the classifiers got."""
    assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
    if mine.dtype == np.int64:
        assert np.mean(mine == theirs) >= 0.9999
    else:
        np.testing.assert_allclose(mine, theirs, rtol=features_equal, atol=features_equal)


@pytest.mark.parametrize(
    "crops", [{}, {"with_crops": True, "crop_size": 24}, {"with_crops": True, "crop_size": (20, 31)}]
)
def test_the_same_as_the_original(original, crops):
    layers, data = ["0", "2", "6"], loader()
    results = []
    for module in (original, fne_torch):
        embedding = module.FullNetworkEmbedding(small(), layers, Recorder())
        embedding.fit(data, **crops)
        predicted = embedding.predict(
            loader(10, batch=4), **crops
        )  # its last batch must not be of one image: the original fails
        results.append((embedding, predicted))
    (theirs, their_prediction), (mine, my_prediction) = results
    for a, b in zip(mine.classifier.fitted, theirs.classifier.fitted, strict=True):
        compare(a, b)
    compare(mine.classifier.asked, theirs.classifier.asked)
    assert my_prediction.shape == their_prediction.shape and my_prediction.dtype == their_prediction.dtype
    np.testing.assert_array_equal(my_prediction, their_prediction)
    assert torch.allclose(mine._means, theirs._means, rtol=1e-6, atol=1e-7)
    assert torch.allclose(mine._stds, theirs._stds, rtol=1e-5) and mine._stds.dtype == torch.float32
    assert torch.equal(mine._all_features, theirs._all_features)
    assert (mine.f_minus, mine.f_plus, mine.layers) == (theirs.f_minus, theirs.f_plus, layers)


def test_the_parts_are_the_originals(original):
    mine, theirs = (module.FullNetworkEmbedding(small(), ["2", "0"], Recorder()) for module in (fne_torch, original))
    batch = next(iter(loader()))[0]
    for size in (10, (12, 9), [31, 35]):
        assert torch.equal(mine._compute_crops(batch, size), theirs._compute_crops(batch, size))
    with torch.no_grad():
        for arguments in ((True,), (False,), (True, True, 24)):
            (a, la), (b, lb) = (
                mine._extract_features(loader(), *arguments),
                theirs._extract_features(loader(), *arguments),
            )
            assert torch.equal(a, b) and (la is None) == (lb is None)
            assert la is None or (torch.equal(la, lb) and la.dtype == lb.dtype)
    rows = torch.randn(50, 6) * 3
    for train in (True, False):
        a, b = mine._standarize(rows, train=train), theirs._standarize(rows, train=train)
        assert torch.allclose(a, b, atol=1e-5)
        assert torch.equal(mine._discretize(b), theirs._discretize(b))
        assert torch.equal(mine._postprocess(rows, train=train), theirs._postprocess(rows, train=train))
    edges = torch.tensor([[-0.25, 0.15, np.nan, np.inf, -np.inf, 0.0]])
    assert torch.equal(mine._discretize(edges), theirs._discretize(edges))


def test_constant_features_are_plus_one_as_in_the_original(original):
    rows = torch.cat([torch.full((8, 1), 3.0), torch.randn(8, 2)], 1)
    for module in (original, fne_torch):
        embedding = module.FullNetworkEmbedding(small(), ["0"], Recorder())
        assert (embedding._postprocess(rows, train=True)[:, 0] == 1).all()
        assert (embedding._postprocess(rows + 1, train=False)[:, 0] == 1).all()


def test_l2_norm(original):
    rows = torch.randn(9, 30) * torch.tensor([10.0**i for i in range(-4, 5)])[:, None]
    rows[3] = 0
    mine, theirs = (module.L2Norm(small(), ["0"], Recorder()) for module in (fne_torch, original))
    assert torch.allclose(mine._postprocess(rows), theirs._postprocess(rows), atol=1e-6)
    mine.fit(loader())  # the original's raises a TypeError here
    assert np.allclose(np.linalg.norm(mine.classifier.fitted[0], axis=1), 1)
    assert mine.predict(loader()).shape == (23,)


def vgg11():
    torch.manual_seed(1)
    return torchvision.models.vgg11(weights=None).eval()


def resnet18():
    torch.manual_seed(2)
    return torchvision.models.resnet18(weights=None).eval()


@pytest.mark.parametrize("make", [vgg11, resnet18])
def test_real_networks(original, photographs, make):
    """All convolutional and dense layers of VGG11 and ResNet-18 on photographs; the same predictions."""
    pixels = [fne.resize(fne.read_image(path), (72, 72)) for path in photographs]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    labels = torch.arange(len(images)) // 3 % 2
    data = DataLoader(TensorDataset(images, labels), batch_size=8)
    outcomes = []
    for module in (original, fne_torch):
        model = make()
        layers = [n for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        embedding = module.FullNetworkEmbedding(model, layers, LinearSVC(C=0.01, random_state=0))
        embedding.fit(data)
        codes = embedding._postprocess(embedding._all_features, train=False)
        outcomes.append((embedding._all_features, codes, embedding.predict(data)))
    (a, a_codes, a_predicted), (b, b_codes, b_predicted) = outcomes
    assert torch.allclose(a, b, rtol=1e-5, atol=1e-5)
    assert (a_codes == b_codes).float().mean() >= 0.9999
    np.testing.assert_array_equal(a_predicted, b_predicted)


# ---- what was mended


def test_other_modules():
    torch.manual_seed(4)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.volume = nn.Conv3d(1, 4, 3)
            self.line = nn.Conv1d(4, 5, 3)
            self.up = nn.ConvTranspose2d(5, 6, 3)
            self.inner = nn.ModuleDict({"tokens": nn.Linear(7, 9)})

        def forward(self, x):
            x = self.volume(x[:, None]).flatten(2)
            x = self.line(x)[..., :49].unflatten(2, (7, 7))
            x = self.up(x)[..., :7]
            return self.inner["tokens"](x.flatten(1, 2))

    model = Network().eval()
    kept = {}
    for name in ("volume", "line", "up", "inner.tokens"):
        model.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: kept.__setitem__(name, o))
    embedding = fne_torch.FullNetworkEmbedding(
        model, list(kept) or ["volume", "line", "up", "inner.tokens"], Recorder()
    )
    data = DataLoader(TensorDataset(torch.randn(4, 5, 12, 12), torch.zeros(4)), batch_size=4)
    with torch.no_grad():
        rows, _ = embedding._extract_features(data)
    means = [kept[n].mean(tuple(range(2, kept[n].ndim))) for n in ("volume", "line", "up")] + [
        kept["inner.tokens"].mean(1)
    ]
    assert torch.allclose(rows, torch.cat(means, 1)) and rows.shape == (4, 24)


def test_batches_of_one():
    model = small()
    embedding = fne_torch.FullNetworkEmbedding(model, ["0", "6"], Recorder())
    with torch.no_grad():
        one, _ = embedding._extract_features(loader(5, batch=1))
        many, _ = embedding._extract_features(loader(5, batch=5))
    assert torch.allclose(one, many, atol=1e-6)


def test_unknown_layers_and_modules():
    with pytest.raises(KeyError, match="no layer 'layer1.0.con1'; similar names: layer1.0.conv1"):
        fne_torch.FullNetworkEmbedding(resnet18(), ["layer1.0.con1"], Recorder())
    with pytest.raises(fne.FNEError):
        fne_torch.L2Norm(small(), ["nothing"], Recorder())
    with pytest.raises(NotImplementedError, match="layer '1' is a ReLU"):
        fne_torch.FullNetworkEmbedding(small(), ["1"], Recorder())


def test_training_mode_warns():
    embedding = fne_torch.FullNetworkEmbedding(small().train(), ["0"], Recorder())
    with pytest.warns(UserWarning, match="training mode"):
        embedding.fit(loader())
    assert embedding.model.training


def test_crops_that_do_not_fit():
    embedding = fne_torch.FullNetworkEmbedding(small(), ["0"], Recorder())
    with pytest.raises(ValueError, match="crops of 40 x 40 are larger than the images, 32 x 35"):
        embedding.fit(loader(), with_crops=True, crop_size=40)
    with pytest.raises(ValueError, match="crop_size"):
        embedding.fit(loader(), with_crops=True)


def test_vote():
    random = np.random.default_rng(1)
    predictions = random.integers(0, 4, (50, 10))
    counted = fne_torch.vote(predictions)
    for row, winner in zip(predictions, counted, strict=True):
        numbers = np.bincount(row, minlength=4)
        assert numbers[winner] == numbers.max()
    ties = np.array([[3, 1, 1, 3]])
    assert fne_torch.vote(ties)[0] == 3
    decisions, classes = random.normal(size=(500, 4)), np.array(["a", "b", "c", "d"])
    summed = fne_torch.vote(predictions, decisions, classes)
    np.testing.assert_array_equal(summed, classes[decisions.reshape(50, 10, 4).sum(1).argmax(1)])
    two = fne_torch.vote(predictions % 2, decisions[:, 0], [7, 9])
    np.testing.assert_array_equal(two, np.where(decisions[:, 0].reshape(50, 10).sum(1) > 0, 9, 7))
    for wrong in ({"predictions": predictions[0]}, {"predictions": predictions, "decisions": decisions}):
        with pytest.raises(ValueError, match="predictions have shape|classes"):
            fne_torch.vote(**wrong)


# ---- where the images of a batch are


def of_single_images(model, layers, images):
    """Each image alone: all that a layer gives belongs to it. Hooks of PyTorch, means in float64."""
    rows = []
    for image in images:
        parts = []

        def keep(module, _inputs, output, parts=parts):
            channel = output.ndim - 1 if isinstance(module, nn.Linear) else 1
            parts.append(output.double().mean([axis for axis in range(output.ndim) if axis != channel]))

        handles = [model.get_submodule(name).register_forward_hook(keep) for name in layers]
        with torch.no_grad():
            model(image[None])
        for handle in handles:
            handle.remove()
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def extracted(model, layers, images, batch):
    embedding = fne_torch.FullNetworkEmbedding(model, layers, Recorder())
    with torch.no_grad():
        data = DataLoader(TensorDataset(images, torch.zeros(len(images))), batch_size=batch)
        return embedding._extract_features(data, train=False)[0]


class Swin(nn.Module):
    """Maps [n, h, w, C], and attention in shifted windows [n * windows, tokens, C], as timm's Swin has them."""

    def __init__(self, windows_first=False):
        super().__init__()
        torch.manual_seed(6)
        self.windows_first = windows_first
        self.embed = nn.Conv2d(3, 12, 4, 4)
        self.norm = nn.LayerNorm(12)
        self.qkv, self.proj = nn.Linear(12, 36), nn.Linear(12, 12)
        self.mlp = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))
        self.head = nn.Linear(12, 5)

    def windows(self, x):
        n, height, width, channels = x.shape
        x = x.reshape(n, height // 2, 2, width // 2, 2, channels)
        x = x.permute(1, 3, 0, 2, 4, 5) if self.windows_first else x.permute(0, 1, 3, 2, 4, 5)
        return x.reshape(-1, 4, channels)

    def maps(self, x, n, height, width):
        if self.windows_first:
            x = x.reshape(height // 2, width // 2, n, 2, 2, -1).permute(2, 0, 1, 3, 4, 5)
        x = x.reshape(n, height // 2, width // 2, 2, 2, -1)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(n, height, width, -1)

    def forward(self, x):
        x = self.embed(x).permute(0, 2, 3, 1)
        for shift in (0, 1):
            q, k, v = self.qkv(self.windows(self.norm(x).roll((shift, shift), (1, 2)))).chunk(3, -1)
            attended = self.proj((q @ k.transpose(1, 2)).softmax(-1) @ v)
            x = x + self.maps(attended, *x.shape[:3]).roll((-shift, -shift), (1, 2))
            x = x + self.mlp(x)
        return self.head(x.mean((1, 2)))


class TokensFirst(nn.Module):
    """Tokens as [tokens, n, channels], as OpenAI's CLIP has them; then as a matrix [tokens * n, channels]."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.patches = nn.Conv2d(3, 10, 8, 8)
        self.block, self.flat = nn.Linear(10, 14), nn.Linear(14, 6)

    def forward(self, x):
        x = self.block(self.patches(x).flatten(2).permute(2, 0, 1)).relu()
        return self.flat(x.flatten(0, 1))


class Frames(nn.Module):
    """Four quarters of each image as images of their own, [n * 4, 3, h, w]."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(8)
        self.conv, self.dense = nn.Conv2d(3, 7, 3), nn.Linear(7, 4)

    def forward(self, x):
        n, _, height, width = x.shape
        x = x.reshape(n, 3, 2, height // 2, 2, width // 2).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        return self.dense(self.conv(x).mean((2, 3)))


LAYOUTS = {
    "windows": (Swin, ["embed", "qkv", "proj", "mlp.0", "mlp.2", "head"]),
    "windows first": (lambda: Swin(True), ["embed", "qkv", "proj", "mlp.0", "mlp.2", "head"]),
    "tokens first": (TokensFirst, ["patches", "block", "flat"]),
    "frames": (Frames, ["conv", "dense"]),
}


@pytest.mark.parametrize("batch", [1, 2, 4, 9, 16])
@pytest.mark.parametrize("kind", LAYOUTS)
def test_one_row_per_image_wherever_the_batch_is(kind, batch):
    """There are 16 tokens and 16 windows, so batches of as many images would be taken for these."""
    make, layers = LAYOUTS[kind]
    model = make().eval()
    images = torch.randn(18, 3, 32, 32, generator=torch.Generator().manual_seed(9))
    rows = extracted(model, layers, images, batch)
    expected = of_single_images(model, layers, images)
    assert rows.shape == expected.shape
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_windows_in_other_types(kind):
    make, layers = LAYOUTS["windows"]
    model, images = make().eval().to(kind), torch.randn(5, 3, 32, 32)
    rows = extracted(model, layers, images, 5)
    assert rows.dtype == (torch.float64 if kind == torch.float64 else torch.float32)
    tolerance = {torch.bfloat16: 3e-2, torch.float16: 4e-3, torch.float64: 1e-12}[kind]
    np.testing.assert_allclose(rows, of_single_images(model, layers, images.to(kind)), atol=tolerance)


def test_swin_of_torchvision():
    """Its linear layers on maps [n, h, w, C]. It uses the weights of its attention without calling the layers."""
    torch.manual_seed(1)
    model = torchvision.models.SwinTransformer([4, 4], 8, [1, 1], [1, 2], [4, 4], num_classes=7).eval()
    layers = [name for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    images = torch.randn(6, 3, 48, 48)
    with pytest.warns(UserWarning, match=r"no features: features\.1\.0\.attn\.qkv, features\.1\.0\.attn\.proj, "):
        rows = extracted(model, layers, images, 4)
    np.testing.assert_allclose(rows, of_single_images(model, layers, images), rtol=1e-4, atol=1e-5)


def test_what_was_right_keeps_its_bits():
    """The same means as PyTorch's, of the same batches, for layers with the batch on the first axis."""
    layers = ["embed", "mlp.0", "mlp.2", "head"]
    model, kept = Swin().eval(), []
    images = torch.randn(8, 3, 32, 32)
    for name in layers:
        dims = {"embed": (2, 3), "head": ()}.get(name, (1, 2))
        model.get_submodule(name).register_forward_hook(
            lambda _m, _i, o, dims=dims: kept.append(o.mean(dims) if dims else o.clone())
        )
    rows = extracted(model, layers, images, 4)
    expected = [torch.cat(kept[first : first + 6], 1) for first in range(0, len(kept), 6)]
    assert len(expected) == 2 and torch.equal(rows, torch.cat(expected))


def pixels(x):
    """[n * h * w, C] of [n, C, h, w]."""
    return x.flatten(2).transpose(1, 2).flatten(0, 1)


class Tables(nn.Module):
    """Layers whose outputs do not say which image they belong to."""

    def __init__(self, forward):
        super().__init__()
        torch.manual_seed(9)
        self.conv, self.table, self.other = nn.Conv2d(3, 4, 3), nn.Linear(2, 4), nn.Linear(4, 4)
        self.register_buffer("positions", torch.randn(1, 5, 2))
        self.run = forward

    def forward(self, x):
        return self.run(self, self.conv(x))


@pytest.mark.parametrize(
    "forward, message",
    [
        (lambda self, x: x.mean((2, 3)) + self.table(self.positions).mean(1), r"'table'.*\[1, 5, 4\].*of one image"),
        (lambda self, x: self.other(x.mean((0, 2, 3))), r"'other'.*\[4\].*no axis of images"),
        (lambda self, x: self.other(pixels(x).roll(1, 0)), r"'other'.*\[54, 4\].*the values for three images"),
        (lambda self, x: self.other(pixels(x)) if len(x) == 6 else x, r"'other'.*does not run in every"),
        (lambda self, x: self.table(self.positions).reshape(len(x) // 6, 20), r"'table'.*does not run batches of one"),
    ],
)
def test_outputs_that_cannot_be_divided(forward, message):
    with pytest.raises(NotImplementedError, match=message):
        extracted(Tables(forward).eval(), ["conv", "table", "other"], torch.randn(12, 3, 5, 5) + 2, 6)


def test_the_error_names_all_such_layers():
    def forward(self, x):
        return self.other(self.table(self.positions)).mean(1) + x.mean((2, 3))

    with pytest.raises(fne_torch.UnsupportedLayerError, match=r"'table'.*; nor for 'other'"):
        extracted(Tables(forward).eval(), ["conv", "table", "other"], torch.randn(4, 3, 5, 5), 4)


def test_nothing_is_proven_in_training_mode():
    """Runs with dropout cannot be compared, and would change what batch normalization has learned."""
    model, layers = Swin().train(), ["embed", "qkv"]
    with pytest.raises(NotImplementedError, match=r"'qkv'.*call eval\(\)"), pytest.warns(UserWarning):
        extracted(model, layers, torch.randn(4, 3, 32, 32), 4)
    with pytest.warns(UserWarning, match="training mode"):  # 8 images and maps of 8 x 8: taken for what it was
        rows = extracted(model, ["mlp.0"], torch.ones(8, 3, 32, 32), 8)
    np.testing.assert_allclose(rows, of_single_images(model, ["mlp.0"], torch.ones(8, 3, 32, 32)), atol=1e-5)


def test_a_proof_leaves_the_random_state():
    embedding = fne_torch.L2Norm(TokensFirst().eval(), ["patches", "block"], Recorder())
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    embedding.fit([(torch.randn(5, 3, 32, 32, generator=torch.Generator()), torch.ones(5))])
    assert torch.equal(torch.rand(3), expected)


def test_columns_that_change_from_batch_to_batch():
    class Fickle(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, x):
            layers = (self.a, self.b) if x.mean() > 0 else (self.b, self.a)
            return [layer(x) for layer in layers]

    images = torch.cat([torch.ones(4, 3, 5, 5), -torch.ones(4, 3, 5, 5)])
    with pytest.raises(NotImplementedError, match="another order"):
        extracted(Fickle().eval(), ["a", "b"], images, 4)


def test_layers_that_do_not_run():
    model = nn.ModuleDict({"used": nn.Conv2d(3, 4, 3), "unused": nn.Linear(3, 4)}).eval()
    model.forward = model["used"].forward
    with pytest.raises(NotImplementedError, match="none of the layers ran: unused"):
        extracted(model, ["unused"], torch.randn(2, 3, 5, 5), 2)
    model.forward = model["used"].__call__
    with pytest.warns(UserWarning, match="no features: unused"):
        assert extracted(model, ["used", "unused"], torch.randn(2, 3, 5, 5), 2).shape == (2, 4)


# ---- the embedding as an object


def fitted(classifier=None):
    embedding = fne_torch.FullNetworkEmbedding(small(), ["0", "2", "6"], classifier or LinearSVC(random_state=0))
    embedding.fit(loader())
    return embedding


def through_a_file(embedding):
    file = io.BytesIO()
    torch.save(embedding, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, through_a_file, lambda embedding: pickle.loads(pickle.dumps(embedding))]
)
def test_copies(again):
    embedding = fitted()
    embedding.f_plus = 0.3
    expected = embedding.predict(loader(10))
    copied = again(embedding)
    assert torch.equal(copied._means, embedding._means) and torch.equal(copied._stds, embedding._stds)
    assert torch.equal(copied._all_features, embedding._all_features) and copied.layers == embedding.layers
    assert (copied.f_plus, copied.f_minus) == (0.3, -0.25)
    np.testing.assert_array_equal(copied.predict(loader(10)), expected)
    before = embedding._means.clone()
    copied.fit(loader(12))
    assert torch.equal(embedding._means, before) and not torch.equal(copied._means, before)
    for kind in (fne_torch.L2Norm, fne_torch.FullNetworkEmbedding):  # without statistics
        assert again(kind(small(), ["0"], Recorder())).layers == ["0"]


def test_a_copy_of_features_with_gradients():
    embedding = fne_torch.L2Norm(small(), ["0"], Recorder())
    rows, _ = embedding._extract_features(loader())
    assert rows.requires_grad and torch.equal(copy.deepcopy(embedding)._all_features, rows)


@pytest.mark.parametrize("strict", [True, False])
def test_the_state(strict):
    embedding = fitted(Recorder())
    state = embedding.state_dict()
    assert set(state) == {"_means", "_stds", *(f"model.{name}" for name in small().state_dict())}
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    state = torch.load(file)  # tensors alone: weights_only=True, PyTorch's default
    unfitted = fne_torch.FullNetworkEmbedding(small(), embedding.layers, Recorder())
    refitted = fne_torch.FullNetworkEmbedding(small(), embedding.layers, Recorder())
    refitted.fit(loader(9))
    embedding.predict(loader(10))
    for other in (unfitted, refitted, nn.Sequential(unfitted)[0]):
        with torch.no_grad():
            other.model[0].weight.zero_()
        assert str(other.load_state_dict(state, strict=strict)) == "<All keys matched successfully>"
        other.predict(loader(10))
        np.testing.assert_array_equal(other.classifier.asked, embedding.classifier.asked)
    kept = unfitted._means
    state["_means"].zero_()
    assert torch.equal(unfitted._means, kept) and torch.equal(kept, embedding._means)
    nested = nn.Sequential(fne_torch.FullNetworkEmbedding(small(), embedding.layers, Recorder()))
    nested.load_state_dict(nn.Sequential(embedding).state_dict(), strict=strict)
    assert torch.equal(nested[0]._stds, embedding._stds)


def test_states_that_do_not_fit():
    embedding, unfitted = fitted(Recorder()), fne_torch.FullNetworkEmbedding(small(), ["0"], Recorder())
    weights = unfitted.state_dict()
    assert "_means" not in weights and str(unfitted.load_state_dict(weights)).startswith("<All keys")
    with pytest.raises(RuntimeError, match='Missing key.*"_means", "_stds"'):
        embedding.load_state_dict(weights)
    means = embedding._means
    assert embedding.load_state_dict(weights, strict=False).missing_keys == ["_means", "_stds"]
    assert embedding._means is means
    with pytest.raises(RuntimeError, match='Missing key.*"_stds"'):
        unfitted.load_state_dict({**weights, "_means": means})
    for wrong, message in [
        ({"_means": means[:4]}, r"shapes \[4\] and \[30\]"),
        ({"_means": means[:4], "_stds": means[:4]}, "have 4 features; this embedding was fitted on 30"),
        ({"_means": means.long()}, "must be of floating point"),
    ]:
        with pytest.raises(RuntimeError, match=f"_means and _stds: .*{message}"):
            embedding.load_state_dict({**embedding.state_dict(), **wrong})
    with pytest.raises(RuntimeError, match='Unexpected key.*"_means", "_stds"'):
        fne_torch.L2Norm(small(), ["0"], Recorder()).load_state_dict(embedding.state_dict())
    unfitted.load_state_dict(embedding.state_dict())
    with pytest.raises(ValueError, match="fitted on 30 features; these are 8"):
        unfitted.predict(loader())


def test_an_unfitted_embedding():
    embedding = fne_torch.FullNetworkEmbedding(small(), ["0"], Recorder())
    for kind in (AttributeError, ValueError, fne.FNEError):
        with pytest.raises(kind, match="not fitted: call fit"):
            embedding.predict(loader())


def test_other_types(original):
    """`double` is as in the original, where the user has to convert the images too. `half` keeps float32 features."""
    for kind, features in ((torch.float64, torch.float64), (torch.float16, torch.float32)):
        results = []
        for module in (original, fne_torch):
            embedding = module.FullNetworkEmbedding(small(), ["0", "2", "6"], Recorder()).to(kind)
            data = loader()
            data = DataLoader(TensorDataset(data.dataset.tensors[0].to(kind), data.dataset.tensors[1]), batch_size=7)
            embedding.fit(data)
            embedding.predict(data)
            results.append(embedding)
        theirs, mine = results
        assert mine._all_features.dtype == mine._means.dtype == mine._stds.dtype == features
        assert torch.equal(mine._all_features, theirs._all_features)
        assert torch.allclose(mine._means, theirs._means) and torch.allclose(mine._stds, theirs._stds)
        for a, b in (
            (mine.classifier.fitted[0], theirs.classifier.fitted[0]),
            (mine.classifier.asked, theirs.classifier.asked),
        ):
            compare(a, b)
        mine.fit(loader())  # float32 images are converted
        np.testing.assert_array_equal(mine.classifier.fitted[0], mine.classifier.asked)


def test_a_conversion_keeps_the_statistics():
    embedding = fitted(Recorder())
    means = embedding._means
    for converted in (embedding.half(), embedding.double(), embedding.float()):
        assert converted._means is means and means.dtype == torch.float32
    embedding.double().predict(loader())
    codes = embedding.classifier.asked
    embedding.float().predict(loader())
    assert np.mean(codes == embedding.classifier.asked) >= 0.999


def test_numbers_that_are_not_finite_in_float64():
    embedding = fne_torch.FullNetworkEmbedding(small(), ["0"], Recorder())
    rows = torch.randn(5, 3, dtype=torch.float64)
    embedding._postprocess(rows)
    rows[2, 1] = torch.nan
    for train in (True, False):
        with pytest.raises(fne.NotFiniteError, match="row 2, feature 1 is nan"):
            embedding._postprocess(rows, train=train)
    assert (embedding._postprocess(rows[:1], train=True) == 1).all()  # of one row, as in the original


# ---- the network's hooks


def hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


def test_hooks_exist_only_during_a_run():
    model, seen = small(), []
    embeddings = [fne_torch.L2Norm(model, ["0", "2", "6"], Recorder()) for _ in range(60)]
    assert hooks(model) == 0
    model[1].register_forward_hook(lambda *_: seen.append(hooks(model)))
    embeddings[0].fit(loader(batch=23))
    assert seen == [4] and hooks(model) == 1

    def fail(*_):
        raise OSError("no disk")

    model[3].register_forward_hook(fail)
    with pytest.raises(OSError):
        embeddings[1].fit(loader())
    assert hooks(model) == 2


def test_nothing_keeps_a_network_alive():
    """Without the collector of cycles."""
    model = Swin().eval()
    embedding = fne_torch.FullNetworkEmbedding(model, ["qkv", "head"], Recorder())
    gc.collect()
    gc.disable()
    try:
        data = DataLoader(TensorDataset(torch.randn(6, 3, 32, 32), torch.zeros(6)), batch_size=3)
        embedding.fit(data)
        embedding.predict(data)
        gone = [weakref.ref(embedding), weakref.ref(model), weakref.ref(model.qkv)]
        del embedding
        assert gone[0]() is None and gone[1]() is model
        del model
        assert [each() for each in gone] == [None] * 3
    finally:
        gc.enable()


def test_threads_with_one_network():
    model, data = small(), loader(60, batch=5)
    embeddings = [fne_torch.L2Norm(model, names, Recorder()) for names in (["0"], ["2", "6"], ["0", "2"])]
    expected = []
    for embedding in embeddings:
        embedding.fit(data)
        expected.append(embedding.classifier.fitted[0])
    with ThreadPoolExecutor(3) as pool:
        for _ in range(5):
            list(pool.map(lambda embedding: embedding.fit(data), embeddings))
            for embedding, rows in zip(embeddings, expected, strict=True):
                np.testing.assert_array_equal(embedding.classifier.fitted[0], rows)


@pytest.mark.parametrize("when", ["before", "after"])
def test_compiled_networks(when):
    """Compiled networks run as they were written, so that the features are there whenever they were compiled."""
    plain = fne_torch.L2Norm(small(), ["0", "2", "6"], Recorder())
    plain.fit(loader())
    compiled = torch.compile(small(), backend="eager")
    if when == "before":
        compiled(next(iter(loader()))[0])
    for _ in range(2):
        embedding = fne_torch.L2Norm(compiled, ["_orig_mod.0", "_orig_mod.2", "_orig_mod.6"], Recorder())
        embedding.fit(loader())
        np.testing.assert_array_equal(embedding.classifier.fitted[0], plain.classifier.fitted[0])
        compiled(next(iter(loader()))[0])


def test_threads_leave_the_compiler_as_it_was():
    """The first thread's run ends within the second thread's."""
    compiled = torch.compile(small(), backend="eager")
    second_runs, first_is_done = threading.Event(), threading.Event()

    def wait(*_):
        if threading.current_thread() is first:
            second.start()
            assert second_runs.wait(60)
        elif threading.current_thread() is second:
            second_runs.set()
            assert first_is_done.wait(60)

    compiled.get_submodule("_orig_mod.1").register_forward_hook(wait)
    embeddings = [fne_torch.L2Norm(compiled, ["_orig_mod.0"], Recorder()) for _ in range(2)]
    first, second = (
        threading.Thread(target=lambda each=each: each.fit(loader(batch=23)), daemon=True) for each in embeddings
    )
    first.start()
    first.join(60)
    first_is_done.set()
    second.join(60)
    np.testing.assert_array_equal(embeddings[0].classifier.fitted[0], embeddings[1].classifier.fitted[0])
    assert torch._dynamo.eval_frame._stance.stance == "default"


def test_nothing_warns_needlessly():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embedding = through_a_file(fitted(Recorder()))
        embedding.load_state_dict(copy.deepcopy(embedding).state_dict())
        embedding.double().fit(loader(), with_crops=True, crop_size=24)
        embedding.predict(loader(1))
        extracted(Swin().eval(), LAYOUTS["windows"][1], torch.randn(4, 3, 32, 32), 4)


def test_the_page_from_1_x(tmp_path, monkeypatch):
    """Its blocks of PyTorch, one after the other."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall("^```python\n(.*?)^```$", (ROOT / "docs/from-1.x.md").read_text(), re.MULTILINE | re.DOTALL)
    classifier = LinearSVC(random_state=0)
    names = {"torch": torch, "model": small(), "layers": ["0", "6"], "classifier": classifier}
    names |= {"train_loader": loader(4, 224), "test_loader": loader(3, 224)}
    for block in blocks[1:]:
        exec(block, names)
    assert len(blocks) == 3 and names["predictions"].shape == (3, 10)
    again = names["embedding"].predict(names["test_loader"], with_crops=True, crop_size=224)
    np.testing.assert_array_equal(again, names["predictions"])


def test_examples_in_docstrings():
    import doctest

    result = doctest.testmod(fne_torch)
    assert result.failed == 0 and result.attempted >= 2
