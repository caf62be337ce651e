"""Compares both engines on one network: `converted.py PHOTOGRAPHS NETWORK.pb ...`.

tf2onnx makes an ONNX file of each frozen GraphDef, in a temporary folder. The photographs below the folder are embedded
by TensorFlow with the GraphDef and by ONNX Runtime with the ONNX file. It prints a line of a markdown table per
network: the layers and features, the share of equal codes, and the features' largest difference as a share of the
largest value of their layer. --limit takes fewer photographs, evenly. It needs tensorflow and tf2onnx. In place of a
network, efficientnet_lite0 compares the two forms of the default network, which need no conversion.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import fne

# tf2onnx imports TensorFlow. libfne runs in this process, and has its own.
CONVERT = """
import sys
import tensorflow as tf
import tf2onnx
path, entry, out = sys.argv[1:]
definition = tf.compat.v1.GraphDef()
definition.ParseFromString(open(path, "rb").read())
read = {name.lstrip("^").split(":")[0] for node in definition.node for name in node.input}
ends = [node.name + ":0" for node in definition.node if node.name not in read and node.op != "Const"]
tf2onnx.convert.from_graph_def(definition, input_names=[entry], output_names=ends, opset=17, output_path=out)
"""


def embedded(path: Path, images: list[str], options: dict[str, Any]) -> tuple[Any, Any, list[slice]]:
    """The rows of the default layers, their codes, and which features are each layer's."""
    with fne.Extractor(path, **options) as extractor:
        rows = extractor.extract(images).features
        blocks = [layer.features for layer in extractor.layers]
    collected = fne.Statistics(rows.shape[1]).update(rows)
    return rows, fne.ternarize(rows, collected.mean(), collected.std()), blocks


def line(path: Path, entry: str, images: list[str], options: dict[str, Any]) -> str:
    """The row of the table for a network."""
    if path.name == "efficientnet_lite0":
        graph, converted = (fne.zoo.efficientnet_lite0(engine) for engine in ("tensorflow", "onnxruntime"))
        return compared(graph, converted, images, options)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "network.onnx"
        command = [sys.executable, "-c", CONVERT, str(path), entry, str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"| {path.stem} | not converted: {done.stderr.strip().splitlines()[-1]} |"
        return compared(path, out, images, options)


def compared(path: Path, converted: Path, images: list[str], options: dict[str, Any]) -> str:
    """The row of the table for a GraphDef and its ONNX file."""
    wanted, wanted_codes, blocks = embedded(path, images, options)
    rows, codes, found = embedded(converted, images, options)
    text = f"| {path.stem} | {len(found)} of {len(blocks)} | {wanted.shape[1]:,} |"
    places = matched(rows, found, wanted, blocks)
    if None in places:
        return f"{text} other layers |"
    order = np.concatenate([np.arange(place.start, place.stop) for place in places if place is not None])
    equal = np.mean(codes[:, order] == wanted_codes)
    largest = max(difference(rows[:, order][:, block], wanted[:, block]) for block in blocks)
    return f"{text} {equal:.5%} | {largest:.1e} |"


def difference(rows: Any, wanted: Any) -> float:
    """The largest difference as a share of the largest value."""
    return float(np.abs(rows - wanted).max() / np.abs(wanted).max())


def matched(rows: Any, found: list[slice], wanted: Any, blocks: list[slice]) -> list[slice | None]:
    """For each layer of TensorFlow the nearest one of the ONNX file, whose parallel branches have another order."""
    free, places = list(found), []
    for block in blocks:
        same = [place for place in free if place.stop - place.start == block.stop - block.start]
        best = min(same, key=lambda place: difference(rows[:, place], wanted[:, block]), default=None)
        places.append(best)
        free = [place for place in free if place != best]
    return places


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("photographs", type=Path, help="a folder of JPEG files")
    parser.add_argument("networks", type=Path, nargs="+", help="frozen GraphDefs")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--mean", type=float, nargs="+", default=[0.0], help="of the pixels, one or three")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--bgr", action="store_true", help="feed blue, green and red")
    parser.add_argument("--input", default="input:0", help="the input tensor")
    parser.add_argument("--limit", type=int, default=0, help="take so many photographs")
    given = parser.parse_args()
    images = sorted(str(path) for path in given.photographs.rglob("*.jpg"))
    images = images[:: max(1, len(images) // given.limit)][: given.limit] if given.limit else images
    print(f"{len(images)} photographs")
    print("| network | layers found of TensorFlow's | features | equal codes | difference |\n|---|---|---|---|---|")
    options: dict[str, Any] = {"size": (given.size, given.size), "scale": given.scale}
    options |= {"mean": given.mean[0] if len(given.mean) == 1 else tuple(given.mean)}
    options |= {"channel_order": "bgr"} if given.bgr else {}
    for path in given.networks:
        print(line(path, given.input, images, options), flush=True)


if __name__ == "__main__":
    main()
