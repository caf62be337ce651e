"""Prints seconds from the start of a process to its first row, and its peak of memory: `cold.py NETWORK.onnx IMAGE`.

libfne runs the ONNX file from Python and from C. Beside it is what others do, onnxruntime's Python with Pillow and
NumPy, which takes the network's scores alone. So does fastembed, where it is installed and the network takes images
with the channels first. --graph FILE.pb adds libfne on TensorFlow, and the parts of the time that it takes. Each is a
process of its own, and they take turns. The figures are medians, with the range of the rounds. The seconds are wall
time, and processor time after it, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from figures import figure, print_at_once, taking_turns
from progress import progress

from fne._libpath import onnxruntime_library

ROOT = Path(__file__).resolve().parents[1]
BUILD = f"-O2 -Ibuild/include bindings/c/embed.c -Lbuild/lib -lfne -Wl,-rpath,{ROOT}/build/lib"

OURS = """
import sys
import fne
path, image, side = sys.argv[1], sys.argv[2], int(sys.argv[3])
with fne.Extractor(path, size=(side, side), streams=1) as extractor:
    assert len(extractor.extract([image]).features) == 1
"""

# Prints the name, the milliseconds and the processor milliseconds of each part, as JSON.
PARTS = """
import json
import sys
import time

def now():
    return time.perf_counter(), time.process_time()

marks = [("", now())]
import numpy
marks.append(("import numpy", now()))
import fne
marks.append(("import fne", now()))
path, image, side = sys.argv[1], sys.argv[2], int(sys.argv[3])
fne.load_backend(engine="tensorflow")
marks.append(("load TensorFlow", now()))
model = fne.Model(path)
marks.append(("read the graph", now()))
with fne.Extractor(model, size=(side, side), streams=1) as extractor:
    marks.append(("open the extractor", now()))
    for part in ("the first row", "a second row"):
        extractor.extract([image])
        marks.append((part, now()))
ends = zip(marks, marks[1:])
print(json.dumps([(name, *(1e3 * (b - a) for a, b in zip(start, end))) for (_, start), (name, end) in ends]))
"""

THEIRS = """
import sys
import numpy as np
import onnxruntime
from PIL import Image
path, image, side = sys.argv[1], sys.argv[2], int(sys.argv[3])
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
entry = session.get_inputs()[0]
pixels = np.asarray(Image.open(image).convert("RGB").resize((side, side)), np.float32)
pixels = pixels if entry.shape[-1] == 3 else pixels.transpose(2, 0, 1)
assert len(session.run(None, {entry.name: np.ascontiguousarray(pixels[None])})[0]) == 1
"""

# The name is that of a network that fastembed knows. The folder has the file that is run.
FASTEMBED = """
import sys
from fastembed import ImageEmbedding
folder, image = sys.argv[1:]
embedding = ImageEmbedding("Qdrant/resnet50-onnx", specific_model_path=folder)
assert len(list(embedding.embed([image]))) == 1
"""


def fastembed_folder(network: str, side: int, folder: Path) -> Path:
    """What fastembed opens: the network, and how images are prepared for it."""
    folder.mkdir()
    (folder / "model.onnx").symlink_to(Path(network).absolute())
    sides = {"height": side, "width": side}
    preparation = {"image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": side}}
    preparation |= {"do_center_crop": True, "crop_size": sides, "do_rescale": True, "do_normalize": True}
    preparation |= {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (folder / "preprocessor_config.json").write_text(json.dumps(preparation))
    return folder


def channels_first(network: str) -> bool:
    import onnxruntime

    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    return bool(session.get_inputs()[0].shape[-1] != 3)


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Seconds, processor seconds and the peak of resident memory in MB of a process."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = status
    if status != 0:
        raise SystemExit(f"{command[0]} ended with status {status}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3


def print_parts(network: str, command: list[str], rounds: int) -> None:
    """Prints the parts of the time to the first row on TensorFlow."""

    def parts() -> list[tuple[str, float, float]]:
        found: list[tuple[str, float, float]] = json.loads(
            subprocess.run(command, check=True, capture_output=True).stdout
        )
        return found

    of_rounds = taking_turns({"TensorFlow": parts}, rounds, 1)["TensorFlow"]
    print("\n| part on TensorFlow | milliseconds | processor milliseconds |\n|---|---|---|")
    for part in zip(*of_rounds, strict=True):
        name = part[0][0]
        seconds = figure(f"{network}, first row on TensorFlow, {name}", "ms", [each[1] for each in part], 0)
        processor = figure(
            f"{network}, first row on TensorFlow, {name}, processor time", "ms", [each[2] for each in part], 0
        )
        print(f"| {name} | {seconds} | {processor} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("network", help="an ONNX file")
    parser.add_argument("image", help="a photograph")
    parser.add_argument("--graph", help="the same network as a frozen GraphDef")
    parser.add_argument("--input", default="images", help="the input's name")
    parser.add_argument("--side", default="224", help="of the network's images")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print_at_once()
    arguments = [given.network, given.image, given.side]
    environment = dict(os.environ, FNE_ONNXRUNTIME=os.path.dirname(onnxruntime_library() or ""))
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "embed"
        subprocess.run(["gcc", *BUILD.split(), "-o", str(program)], check=True, cwd=ROOT)
        size = f"{given.side}x{given.side}"
        kinds = {
            "import numpy": [sys.executable, "-c", "import numpy"],
            "libfne, C": [str(program), given.network, given.input, size, str(Path(folder) / "out.npy"), given.image],
            "libfne, Python": [sys.executable, "-c", OURS, *arguments],
            "onnxruntime, Pillow, NumPy": [sys.executable, "-c", THEIRS, *arguments],
        }
        if importlib.util.find_spec("fastembed") and channels_first(given.network):
            opened = fastembed_folder(given.network, int(given.side), Path(folder) / "fastembed")
            kinds["fastembed"] = [sys.executable, "-c", FASTEMBED, str(opened), given.image]
        if given.graph:
            kinds["libfne on TensorFlow, Python"] = [sys.executable, "-c", OURS, given.graph, *arguments[1:]]
        progress.plan(given.rounds)
        begin = progress.rounds("the first row", given.rounds)
        # The round that is left out reads the files.
        runs = taking_turns({name: partial(run, kinds[name], environment) for name in kinds}, given.rounds, 1, begin)
    network = Path(given.network).stem
    print(f"| {network} | seconds | processor seconds | peak memory, MB |\n|---|---|---|---|")
    for name, columns in ((name, list(zip(*found, strict=True))) for name, found in runs.items()):
        seconds = figure(f"{network}, first row, {name}", "s", columns[0])
        processor = figure(f"{network}, first row, {name}, processor time", "s", columns[1])
        peak = figure(f"{network}, first row, {name}, peak memory", "MB", columns[2], 0)
        print(f"| {name} | {seconds} | {processor} | {peak} |")
    if given.graph:
        print_parts(network, [sys.executable, "-c", PARTS, given.graph, *arguments[1:]], given.rounds)


if __name__ == "__main__":
    main()
