"""Places of codes on a map: two numbers for each, so that what is alike lies together."""

from __future__ import annotations

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._codes import PackedCodes
from fne.errors import InvalidArgumentError, NotInstalledError

#: The ways to make a map. "auto" takes the first of the others that is installed and fit for the number of images.
METHODS = ("auto", "umap", "tsne", "pca")

#: The principal components that UMAP and t-SNE are given, and how many more are looked for so that these are right.
_COMPONENTS, _SPARE = 50, 10
_PASSES = 6
_ROWS_AT_ONCE = 1024
#: With fewer images UMAP and t-SNE have nothing to separate. Above the other limit t-SNE takes minutes.
_FEWEST, _MOST_TSNE = 50, 5000
_PERPLEXITY = 30
_MODULES = {"umap": ("umap", "UMAP"), "tsne": ("sklearn.manifold", "TSNE")}
_PACKAGES = {"umap": "umap-learn", "tsne": "scikit-learn"}


class Projection(NamedTuple):
    """Where codes lie.

    places: [n, 2], each of the two from 0 to 1
    words: how they were found
    """

    places: NDArray[numpy.float64]
    words: str


def project(codes: PackedCodes, method: str = "auto") -> Projection:
    """Places codes on a map.

    Args:
        codes: n codes
        method: "umap", "tsne" or "pca"; "auto": UMAP where it is installed, else t-SNE where scikit-learn is and there
            are at most 5,000 codes, else PCA. Below 50 codes it is PCA.

    Raises:
        NotInstalledError: the method was asked for, and its package is not installed
        InvalidArgumentError: UMAP or t-SNE was asked for, and there are fewer than 50 codes
    """
    found, why = _chosen(method, len(codes))
    components = principal_components(codes, _COMPONENTS)
    if found == "pca":
        return Projection(_spread(_first_two(components)), f"the first two principal components{why}")
    norms = numpy.linalg.norm(components, axis=1, keepdims=True)
    rows = (components / numpy.where(norms > 0, norms, 1)).astype(numpy.float32)
    places = _umap(rows) if found == "umap" else _tsne(rows)
    name = "UMAP" if found == "umap" else "t-SNE"
    return Projection(_spread(places), f"{name} of the first {components.shape[1]} principal components")


def _chosen(method: str, count: int) -> tuple[str, str]:
    """The method that is taken, and why it is not a better one, in words."""
    if method != "auto":
        if method != "pca":
            if count < _FEWEST:
                raise InvalidArgumentError(f"--map {method} needs {_FEWEST} images, and there are {count}; take pca")
            _maker(method)
        return method, ""
    if count < _FEWEST:
        return "pca", f", since there are fewer than {_FEWEST} images"
    for name in ("umap", "tsne"):
        if name == "tsne" and count > _MOST_TSNE:
            return "pca", f", since t-SNE of more than {_MOST_TSNE:,} images takes long and umap-learn is not installed"
        try:
            _maker(name)
        except NotInstalledError:
            continue
        return name, ""
    return "pca", ", since neither umap-learn nor scikit-learn is installed"


def _maker(method: str) -> Any:
    """The other library's class. A folder named like the library, which Python takes for a package, has none."""
    module, name = _MODULES[method]
    try:
        with _without_tensorflow():
            return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        package = _PACKAGES[method]
        raise NotInstalledError(f"--map {method} needs {package}; install it with: pip install {package}") from error


@contextlib.contextmanager
def _without_tensorflow() -> Iterator[None]:
    """Keeps umap-learn from importing TensorFlow for a part that is not used here.

    TensorFlow's LLVM and that of numba, which umap-learn runs on, end the process where they meet.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        del sys.modules["tensorflow"]


def _umap(rows: NDArray[numpy.float32]) -> NDArray[Any]:
    with warnings.catch_warnings():  # It warns that a seed leaves it one thread, which is meant.
        warnings.simplefilter("ignore")
        return numpy.asarray(_maker("umap")(n_components=2, random_state=0).fit_transform(rows))


def _tsne(rows: NDArray[numpy.float32]) -> NDArray[Any]:
    start = _first_two(rows)
    deviation = float(start[:, 0].std())
    start = start * (1e-4 / deviation if deviation > 0 else 1)
    perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
    made = _maker("tsne")(2, init=start, perplexity=perplexity, random_state=0)
    return numpy.asarray(made.fit_transform(rows))


def _first_two(components: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
    """The first two columns. What is missing is 0."""
    result = numpy.zeros((len(components), 2), numpy.float32)
    result[:, : components.shape[1]] = components[:, :2]
    return result


def _spread(places: NDArray[Any]) -> NDArray[numpy.float64]:
    """The places, moved and stretched to 0 to 1."""
    places = places.astype(numpy.float64)
    low, high = places.min(0), places.max(0)
    spread: NDArray[numpy.float64] = (places - low) / numpy.where(high > low, high - low, 1)
    return spread


def principal_components(codes: PackedCodes, count: int) -> NDArray[numpy.float32]:
    """The codes along their first principal components, float32 [n, count] or fewer columns. The largest comes first.

    They are found by a randomized method. It unpacks 1,024 codes at a time, and its memory is O(n + F) for n codes of F
    features.
    """
    mean = codes.mean().astype(numpy.float32)
    wide = min(count + _SPARE, len(codes), codes.feature_count)
    directions = numpy.random.default_rng(0).standard_normal((codes.feature_count, wide)).astype(numpy.float32)
    for _ in range(_PASSES):
        directions = numpy.linalg.qr(_product(codes, mean, directions))[0]
    rows = numpy.concatenate([part @ directions for part in _parts(codes, mean)])
    _, turn = numpy.linalg.eigh(rows.astype(numpy.float64).T @ rows)
    return (rows @ turn[:, ::-1][:, :count].astype(numpy.float32)).astype(numpy.float32)


def _product(
    codes: PackedCodes, mean: NDArray[numpy.float32], directions: NDArray[numpy.float32]
) -> NDArray[numpy.float32]:
    """The centred codes' scatter matrix times directions, [F, D]."""
    result = numpy.zeros_like(directions)
    for part in _parts(codes, mean):
        result += part.T @ (part @ directions)
    return result


def _parts(codes: PackedCodes, mean: NDArray[numpy.float32]) -> Iterator[NDArray[numpy.float32]]:
    """The codes less their mean, float32, some rows at a time."""
    for start in range(0, len(codes), _ROWS_AT_ONCE):
        yield codes[start : start + _ROWS_AT_ONCE].unpack() - mean
