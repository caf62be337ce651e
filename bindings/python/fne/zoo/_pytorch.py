"""Networks of timm and torchvision, as ONNX files in the cache, and how images are prepared for them."""

from __future__ import annotations

import hashlib
import importlib
import json
import warnings
from pathlib import Path
from typing import Any

from fne._cache import cached, cached_files
from fne._text import in_short
from fne._timm import of_pretrained_cfg
from fne._torch_export import export
from fne.errors import FileError, FNEError, InvalidArgumentError, NotInstalledError, PreprocessingWarning

#: Part of the names in the cache. It changes where files are made in another way.
_FORMAT = "1"


def from_timm(name: str, pretrained: bool = True) -> Path:
    """A network of timm as an ONNX file in the cache, for images of the size that it was trained for.

    It needs timm, torch and onnx. timm downloads the weights, once. What timm says of the preprocessing stands beside
    the file, as Hugging Face's hub has it.

    Args:
        name: such as "resnet50" or "vit_small_patch16_224.augreg_in21k"
        pretrained: whether it has trained weights; else random ones

    Raises:
        NotInstalledError: timm, torch or onnx is not installed
        FileError: the weights could not be downloaded
        InvalidArgumentError: there is no such network
        GraphError: PyTorch cannot export it

    >>> fne.Extractor(zoo.from_timm("resnet50"), **zoo.timm_preprocessing("resnet50"))  # doctest: +SKIP
    """

    def make() -> Any:
        _timm_config(name)  # an unknown name is an error of its own
        return _imported("timm").create_model(name, pretrained=pretrained)

    return _kept("timm", name, "pretrained" if pretrained else "random", make, lambda: _timm_config(name))


def from_torchvision(name: str, weights: str | None = "DEFAULT") -> Path:
    """A classifier of torchvision as an ONNX file in the cache, for images of the size that it was trained for.

    It needs torchvision, torch and onnx. torchvision downloads the weights, once. What it says of the preprocessing
    stands beside the file.

    Args:
        name: such as "resnet50"
        weights: such as "DEFAULT", the best there are, or "IMAGENET1K_V1"; None: random ones

    Raises:
        NotInstalledError: torchvision, torch or onnx is not installed
        FileError: the weights could not be downloaded
        InvalidArgumentError: there is no such network, or it has no such weights
        GraphError: PyTorch cannot export it

    >>> fne.Extractor(
    ...     zoo.from_torchvision("resnet50"), **zoo.torchvision_preprocessing("resnet50")
    ... )  # doctest: +SKIP
    """

    def make() -> Any:
        chosen = _torchvision_weights(name, weights)
        return _imported("torchvision.models").get_model(name, weights=None if weights is None else chosen)

    return _kept("torchvision", name, weights or "random", make, lambda: _torchvision_config(name, weights))


def timm_preprocessing(name: str) -> dict[str, Any]:
    """How timm prepares images for that network at evaluation, as options of `fne.Extractor`.

    Warns:
        PreprocessingWarning: libfne cannot do a part of it; the message names the part

    >>> timm_preprocessing("resnet50")["resize_size"]  # doctest: +SKIP
    (235, 235)
    """
    return _options(name, _timm_config(name))


def torchvision_preprocessing(name: str, weights: str | None = "DEFAULT") -> dict[str, Any]:
    """How torchvision prepares images for that network and its weights, as options of `fne.Extractor`.

    Args:
        weights: as in `from_torchvision`; None: those of "DEFAULT"

    Warns:
        PreprocessingWarning: libfne cannot do a part of it; the message names the part
    """
    return _options(name, _torchvision_config(name, weights))


def _kept(library: str, name: str, weights: str, make: Any, config: Any) -> Path:
    """The network's file in the cache."""
    stem = _stem(library, name, weights)
    # What stands beside the network comes first, so that it exists wherever the network does.
    cached(stem + ".config.json", lambda: json.dumps({"pretrained_cfg": config()}).encode())

    def write(path: Path) -> None:
        height, width = config()["input_size"][1:]
        export(_made(name, make), (height, width), path)

    return cached_files(stem + ".onnx", write)


def _stem(library: str, name: str, weights: str) -> str:
    """What the names of the network's files begin with. It holds the library's version."""
    version = _version(library)
    chosen = hashlib.sha256(repr((name, weights)).encode()).hexdigest()[:12]
    plain = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name)[:60]
    return f"{library}-{_FORMAT}-{plain}-{chosen}-{version}"


def _made(name: str, make: Any) -> Any:
    try:
        return make()
    except (FNEError, MemoryError):
        raise
    except Exception as failure:
        raise FileError(
            f"the network {name!r} and its weights could not be loaded: {in_short(failure)}. If this machine cannot "
            "download them, make the file on another one, and copy it to the same folder"
        ) from failure


def _version(library: str) -> str:
    import importlib.metadata  # a fifth of what importing fne would take

    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        raise _missing(library, library) from None


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as failure:
        raise _missing((failure.name or module).split(".")[0], module.split(".")[0]) from failure


def _missing(package: str, library: str) -> NotInstalledError:
    return NotInstalledError(f"{package}, which makes the network, is not installed: pip install fne[{library}]")


# ---- what the libraries say


def _timm_config(name: str) -> dict[str, Any]:
    """What timm resolves for evaluation, in the words of its own configurations."""
    timm, data = _imported("timm"), _imported("timm.data")
    if not name.startswith(("hf_hub:", "hf-hub:", "local-dir:")) and not timm.is_model(name):
        raise InvalidArgumentError(f"timm has no network {name!r}; timm.list_models() lists those that there are")
    found = timm.get_pretrained_cfg(name)
    given = {} if found is None else found.to_dict()
    config = data.resolve_data_config(pretrained_cfg=given, use_test_size=False, verbose=False)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in config.items()}


def _torchvision_weights(name: str, weights: str | None) -> Any:
    models = _imported("torchvision.models")
    try:
        every = models.get_model_weights(name)
    except ValueError:
        raise InvalidArgumentError(
            f"torchvision has no network {name!r}; torchvision.models.list_models() lists those that there are"
        ) from None
    try:
        return every[(weights or "DEFAULT").split(".")[-1]]
    except KeyError:
        raise InvalidArgumentError(
            f"torchvision's {name!r} has no weights {weights!r}; there are {', '.join(each.name for each in every)}"
        ) from None


def _torchvision_config(name: str, weights: str | None) -> dict[str, Any]:
    """What torchvision does at evaluation, in the words of timm's configurations."""
    transforms = _torchvision_weights(name, weights).transforms()
    sides: list[Any] = [getattr(transforms, side, None) for side in ("crop_size", "resize_size")]
    if None in sides:
        raise InvalidArgumentError(
            f"torchvision prepares images for {name!r} by {type(transforms).__name__}, as for no classifier. Export "
            "the network yourself, and pass fne.Model(module, size=...)"
        )
    crop, resize = (int(side[0]) for side in sides)
    antialias = getattr(transforms, "antialias", True)
    return {
        "input_size": [3, crop, crop],
        "interpolation": transforms.interpolation.value if antialias else f"{transforms.interpolation.value}, coarse",
        "mean": list(transforms.mean),
        "std": list(transforms.std),
        "crop_pct": crop / resize,
        "crop_mode": "center",
    }


def _options(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """A configuration in timm's words as options of an extractor. It is read as the file beside the network is."""
    notes: list[str] = []
    preprocessing = of_pretrained_cfg(config, notes)
    for note in notes:
        warnings.warn(PreprocessingWarning(f"for {name}, {note}"), stacklevel=3)
    return {"size": preprocessing.size, **preprocessing.options(preprocessing.size)}
