"""fne.fne_torch beside the fne 1.x package itself, which `make extras` puts aside."""

from __future__ import annotations

import importlib.util
import warnings

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


def test_examples_in_docstrings():
    import doctest

    result = doctest.testmod(fne_torch)
    assert result.failed == 0 and result.attempted >= 2
