"""Embeds photographs with the default network and shows the result.

    make demo                    the sample photographs of scikit-learn and scikit-image
    make demo IMAGES=folder      your own images

It prints the layers, the speed, and how many codes are -1, 0 and 1.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy

import fne
from fne import zoo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of images, searched with its subfolders")
    parser.add_argument("--output", type=Path, default=Path("build/demo.npz"), help="where the embedding goes")
    arguments = parser.parse_args()

    if arguments.images is None:
        paths = [Path(path) for path in zoo.sample_images()]
    elif arguments.images.is_dir():
        paths = [Path(path) for path in fne.list_images(arguments.images)]
    else:
        parser.error(f"{arguments.images} is not a folder")
    if len(paths) < 2:
        parser.error(f"{arguments.images} holds {len(paths)} images; two are needed to compare")

    graph = zoo.efficientnet_lite0()  # for TensorFlow where it is installed, else for ONNX Runtime
    model = fne.Model(graph)
    extractor = fne.Extractor(model, on_error="skip")
    version, library = fne.backend_info(model.engine)
    layers = extractor.layers
    print(f"library     {fne.library_path()} ({fne.build_info()})")
    print(f"engine      {model.engine} {version}, {library}")
    print(f"network     {graph}")
    print(f"layers      {len(layers)} ({summary(layers)}), {extractor.feature_count} features")

    start = time.perf_counter()
    extraction = extractor.extract(paths, progress=fne.ProgressLine())
    seconds = time.perf_counter() - start
    speed = len(paths) / seconds
    print(f"images      {len(paths)} in {seconds:.2f} s: {speed:.1f} images/s, the network's first run included")
    for reason in extraction.reasons.values():
        warnings.warn(f"skipped: {reason}", stacklevel=1)
    pooled = extraction.features[extraction.ok]
    paths = [path for path, ok in zip(paths, extraction.ok, strict=True) if ok]
    if len(paths) < 2:
        parser.error("fewer than two of these images could be read")

    statistics = fne.Statistics(extractor.feature_count).update(pooled)
    mean, std = statistics.mean(), statistics.std()
    codes = fne.ternarize(pooled, mean, std)
    shares = ", ".join(f"{value:2d}: {numpy.mean(codes == value):.1%}" for value in (-1, 0, 1))
    print(f"values      {shares}")

    print("nearest     (cosine of the ternary embeddings)")
    unit = codes / numpy.maximum(numpy.linalg.norm(codes.astype(numpy.float32), axis=1, keepdims=True), 1)
    similarity = unit @ unit.T
    numpy.fill_diagonal(similarity, -2)
    shown = min(len(paths), 20)
    for index in range(shown):
        nearest = int(similarity[index].argmax())
        print(f"  {paths[index].name:28s} {paths[nearest].name:28s} {similarity[index, nearest]:.3f}")
    if shown < len(paths):
        print(f"  ... and {len(paths) - shown} more")

    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    numpy.savez_compressed(
        arguments.output,
        codes=codes,
        mean=mean,
        std=std,
        names=[str(path) for path in paths],
        layers=[layer.name for layer in layers],
        layer_starts=[layer.features.start for layer in layers],
    )
    print(f"written     {arguments.output}: int8 codes {codes.shape}, mean, std, names, layers")


def summary(layers: list[fne.Layer]) -> str:
    kinds = [layer.kind for layer in layers]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


if __name__ == "__main__":
    main()
