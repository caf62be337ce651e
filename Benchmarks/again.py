"""What a second call of `full_network_embedding` takes, on the same network with the same options. A part of
`make bench`.

What both calls have in common is what an extractor that is open takes for the images and what their codes take.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from figures import figure
from networks import SIZE, networks
from progress import progress
from settings import chosen_photographs, evenly, parse, parser

IMAGES = 12
#: Later calls in each round.
CALLS, TRIAL_CALLS = 9, 4

# Prints the seconds of the first call, and of later calls and of their images alone, which take turns.
PROGRAM = """
import json, sys, time
import fne
network, size, calls, paths = json.loads(sys.argv[1])
def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
def call():
    return fne.full_network_embedding(network, paths, 16, None, None, (size, size))
first = seconds(call)
with fne.Extractor(network, size=(size, size)) as extractor:
    def images():
        rows = extractor.extract(paths).features
        collected = fne.Statistics(rows.shape[1]).update(rows)
        fne.ternarize(rows, collected.mean(), collected.std()).astype(float)
    images()
    later = [(seconds(call), seconds(images)) for _ in range(calls)]
print(json.dumps([first, later]))
"""


def measured(network: str, paths: list[str], calls: int) -> tuple[float, list[tuple[float, float]]]:
    """The seconds of a process' first call, and of later ones beside their images."""
    given = json.dumps([network, SIZE, calls, paths])
    out = subprocess.check_output([sys.executable, "-W", "ignore", "-c", PROGRAM, given], text=True)
    first, later = json.loads(out)
    return first, later


def chosen(given: Any) -> dict[str, str]:
    """The network by what is printed. Each engine has one."""
    import fne

    title = "MobileNet V2" if given.assets else "EfficientNet-Lite0"
    graph = networks(given.assets, title)[0].path
    found = {f"{title} on TensorFlow": str(graph)}
    if given.onnx:
        found["MobileNet V2 on ONNX Runtime"] = str(given.onnx)
    else:
        found["EfficientNet-Lite0 on ONNX Runtime"] = str(fne.zoo.efficientnet_lite0("onnxruntime"))
    return found


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--onnx", type=Path, help="MobileNet V2 as an ONNX file; the default network without it")
    given = parse(options)
    with tempfile.TemporaryDirectory() as folder:
        paths = evenly(chosen_photographs(given, Path(folder)), IMAGES)
        ways = chosen(given)
        progress.plan(len(ways) * given.rounds)
        for title, network in ways.items():
            begin = progress.rounds(title, given.rounds)
            runs = []
            for number in range(given.rounds):
                begin(number + 1)
                runs.append(measured(network, paths, TRIAL_CALLS if given.quick else CALLS))
            first = figure(f"{title}, first call", "ms", [1e3 * run[0] for run in runs], 0)
            beside = [1e3 * (call - images) for _, later in runs for call, images in later]
            later = figure(f"{title}, a later call beside its images", "ms", beside, 1)
            print(f"{title}, {len(paths)} images: the first call {first} ms, a later one {later} ms beside its images")


if __name__ == "__main__":
    main()
