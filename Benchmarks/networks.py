"""The networks of the benchmark, as frozen GraphDefs, and their twins for the peers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from figures import left_out

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build/benchmark"
#: The Python in which `make bench-peers` installs what libfne is compared with.
PEERS = ROOT / ".build/peers/bin/python"
SIZE = 224

# Runs in the peers' Python: a GraphDef with its layers averaged and joined becomes an ONNX file.
TO_ONNX = """
import json, sys
import tensorflow as tf, tf2onnx
from tensorflow.python.framework import graph_util
path, layers, size, out = json.loads(sys.argv[1])
definition = tf.compat.v1.GraphDef()
definition.ParseFromString(open(path, "rb").read())
with tf.Graph().as_default() as graph:
    x = tf.compat.v1.placeholder(tf.float32, [None, size, size, 3], name="images")
    tf.import_graph_def(definition, name="", input_map={"input:0": x})
    parts = [graph.get_tensor_by_name(name) for name in layers]
    parts = [tf.reduce_mean(part, [1, 2]) if part.shape.rank == 4 else part for part in parts]
    tf.concat(parts, 1, name="features")
definition = graph_util.extract_sub_graph(graph.as_graph_def(), ["features"])
tf2onnx.convert.from_graph_def(
    definition, input_names=["images:0"], output_names=["features:0"], opset=17, output_path=out,
    large_model=False)
"""

# Runs in a Python with tensorflow: Keras' network with random weights, frozen.
RANDOM_WEIGHTS = """
import sys
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
name, out = sys.argv[1:]
tf.keras.utils.set_random_seed(1)
model = getattr(tf.keras.applications, name)(weights=None)
images = tf.TensorSpec([None, 224, 224, 3], tf.float32, name="input")
function = tf.function(lambda x: model(x)).get_concrete_function(images)
open(out, "wb").write(convert_variables_to_constants_v2(function).graph.as_graph_def().SerializeToString())
"""


@dataclass
class Network:
    """A graph and the tensors to take."""

    path: Path
    layers: list[str]
    title: str
    twin: str | None  # torchvision's network of the same kind
    images: int = 96  # of a speed measurement
    options: str = "{}"  # preprocessing that its published weights need, for agreement

    def onnx(self, peers: Path) -> Path | None:
        """The same network with the same taps, or None where it cannot be made."""
        out = FOLDER / (self.path.stem + ".onnx")
        if self.path.stat().st_size > 256 << 20:
            left_out(f"{self.title}, ONNX Runtime and OpenVINO", "tf2onnx needs more than 24 GB of memory for it")
            return None
        if not out.exists():
            arguments = json.dumps([str(self.path), self.layers, SIZE, str(out)])
            done = subprocess.run([peers, "-c", TO_ONNX, arguments], capture_output=True, text=True)
            if done.returncode != 0:
                why = (done.stderr.strip().splitlines() or ["no word"])[-1]
                left_out(f"{self.title}, ONNX Runtime and OpenVINO", f"no ONNX file: {why}")
                return None
        return out


def _default_layers(path: Path) -> list[str]:
    import fne

    return [layer.name + ":0" for layer in fne.Model(path).layers()]


def networks(assets: Path | None, title: str = "", only_one: bool = False) -> list[Network]:
    """The default network; with assets also GoogLeNet and MobileNet V2; ResNet-50 and VGG16 with random weights.

    Args:
        title: takes those alone whose titles start so
        only_one: takes one of these, MobileNet V2 or else the first. What others need is not made.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    makers = [maker for name, maker in _makers(assets).items() if name.startswith(title)]
    if only_one:
        makers = makers[:1]
    return [maker() for maker in makers]


def _makers(assets: Path | None) -> dict[str, Callable[[], Network]]:
    """By title. The first is that of a trial."""
    result: dict[str, Callable[[], Network]] = {}
    if assets is not None:
        caffe = '{"channel_order": "bgr", "mean": [103.939, 116.779, 123.68]}'
        for name, title, twin, options in (
            ("mobilenet_v2_1.0_224", "MobileNet V2", "mobilenet_v2", '{"mean": 127.5, "scale": 0.00784313725490196}'),
            ("bvlc_googlenet", "GoogLeNet", "googlenet", caffe),
        ):
            result[title] = partial(_of_assets, assets / "models" / (name + ".pb"), title, twin, options)
    result["EfficientNet-Lite0"] = _default_network
    for name, title, twin, images in (("ResNet50", "ResNet-50", "resnet50", 96), ("VGG16", "VGG16", "vgg16", 16)):
        title += ", random weights"
        result[title] = partial(_with_random_weights, name, title, twin, images)
    return result


def _of_assets(path: Path, title: str, twin: str, options: str) -> Network:
    lines = [line.split("\t") for line in path.with_name(path.stem + ".layers.txt").read_text().splitlines()]
    layers = [tensor for kind, tensor, *_ in lines if kind != "OUTPUT"]
    return Network(path, layers, title, twin, options=options)


def _default_network() -> Network:
    import fne

    path = fne.zoo.efficientnet_lite0()
    return Network(path, _default_layers(path), "EfficientNet-Lite0", None)


def _with_random_weights(name: str, title: str, twin: str, images: int) -> Network:
    path = FOLDER / (name + ".pb")
    if not path.exists():
        subprocess.run([sys.executable, "-c", RANDOM_WEIGHTS, name, path], check=True, capture_output=True)
    return Network(path, _default_layers(path), title, twin, images)


def random_onnx(name: str, python: str | Path) -> Path:
    """A network of torchvision or timm with random weights as an ONNX file, whose input is "images".

    Args:
        python: has torch, torchvision and onnx

    Raises:
        subprocess.SubprocessError: the Python cannot make it
    """
    path = FOLDER / f"random_{name}.onnx"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new.onnx")
        program = (
            "import sys, torch_networks as t; from pathlib import Path; "
            f"t.export(t.build(sys.argv[1]), 'TorchScript', {SIZE}, Path(sys.argv[2]))"
        )
        command = [python, "-c", program, name, new]
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
        if done.returncode != 0:
            why = (done.stderr.strip().splitlines() or ["no word"])[-1]
            raise subprocess.SubprocessError(f"no ONNX file of {name}: {why}")
        new.replace(path)
    return path


def photographs(assets: Path | None, folder: Path) -> list[str]:
    if assets is not None:
        return sorted(str(path) for path in (assets / "images/flowers17").rglob("*.jpg"))
    import cv2

    import fne

    paths = []
    for source in fne.zoo.sample_images():
        image = cv2.resize(cv2.imread(source), (500, 375))
        for part in range(8):
            paths.append(str(folder / f"{len(paths)}.jpg"))
            cv2.imwrite(paths[-1], image[part * 3 :, part * 5 :])
    return paths
