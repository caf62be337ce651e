"""The processor time of `fne.evaluate`, and whether its scores are those of another version.

    .venv/bin/python Benchmarks/evaluation.py --assets FOLDER [--against TREE] [--seeds 5] [--out build/evaluation]

FOLDER has images/flowers17 and models/mobilenet_v2_1.0_224.pb. 24 photographs of each class are embedded once, before
the clock starts. TREE is another checkout, whose package is measured in the same way before this one. The time is user
and system time of a process of its own, without what it takes to import packages and to draw.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from figures import VARIABLE, figure, print_at_once
from progress import progress

PER_CLASS = 24
#: What was measured by default before the best layer was left out. "ridge" and "svm" are measured on the same.
REPRESENTATIONS = (
    "fne",
    "fne with outputs",
    "fne last 75%",
    "fne last 50%",
    "fne last 25%",
    "standardized",
    "l2",
    "best layer",
    "last layer",
    "penultimate",
    "penultimate l2",
    "outputs",
)
BINDINGS = "bindings/python"


def measured(assets: Path, out: Path, classifier: str, seeds: int) -> dict[str, Any]:
    """In a process of its own: the processor time of an evaluation, and its scores."""
    import fne
    from fne._evaluation import result
    from fne._evaluation.classifiers import CLASSIFIERS

    if classifier not in CLASSIFIERS:
        return {}
    result.plot = lambda *_: None
    out.mkdir(parents=True, exist_ok=True)
    listed = out / "list.txt"
    classes = sorted((assets / "images/flowers17").iterdir())
    named = [(file, folder.name) for folder in classes for file in sorted(folder.iterdir())[:PER_CLASS]]
    listed.write_text("".join(f"{file}\t{name}\n" for file, name in named))
    model = fne.Model(assets / "models/mobilenet_v2_1.0_224.pb")
    options: dict[str, Any] = {"size": (224, 224), "mean": 127.5, "scale": 1 / 127.5}
    fne.evaluate(  # embeds, and imports what is imported late
        listed, model, out, images_per_class=2, seeds=1, representations="outputs", classifiers=classifier, **options
    )
    start = time.process_time()
    found = fne.evaluate(
        listed, model, out, seeds=seeds, representations=REPRESENTATIONS, classifiers=classifier, **options
    )
    return {"seconds": time.process_time() - start, "scores": [tuple(score) for score in found.scores]}


def in_tree(tree: Path, given: argparse.Namespace, classifier: str) -> dict[str, Any]:
    """What the package of a tree takes."""
    with tempfile.NamedTemporaryFile(suffix=".json") as answer:
        command = [sys.executable, __file__, "--assets", given.assets, "--out", given.out, "--seeds", given.seeds]
        environment = {**os.environ, "PYTHONPATH": str(tree / BINDINGS)}
        environment.pop(VARIABLE, None)  # what it finds is a figure here
        subprocess.run(
            [*map(str, command), "--classifier", classifier, "--answer", answer.name], env=environment, check=True
        )
        found: dict[str, Any] = json.loads(Path(answer.name).read_text())
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, required=True)
    parser.add_argument("--against", type=Path, metavar="TREE")
    parser.add_argument("--out", type=Path, default=Path("build/evaluation"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--classifier", help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.answer:
        given.answer.write_text(json.dumps(measured(given.assets, given.out, given.classifier, given.seeds)))
        return
    print_at_once()
    own = Path(__file__).resolve().parents[1]
    before = in_tree(given.against, given, "svm") if given.against else None
    if before:
        print(f"svm before: {before['seconds']:.1f} s of processor time, {len(before['scores'])} scores")
    progress.plan(2)
    for classifier in ("svm", "ridge"):
        progress.step(classifier, f"{given.seeds} splits")
        found = in_tree(own, given, classifier)
        seconds = figure(f"fne.evaluate, {classifier}, {given.seeds} splits, processor time", "s", found["seconds"], 1)
        line = f"{classifier}: {seconds} s of processor time, {len(found['scores'])} scores"
        if before:
            line += f", 1/{before['seconds'] / found['seconds']:.1f} of before"
            if classifier == "svm":
                pairs = list(zip(before["scores"], found["scores"], strict=True))
                differing = sum(a != b for a, b in pairs)
                line += f"; {'all scores are equal' if not differing else f'{differing} scores differ'}"
        print(line)


if __name__ == "__main__":
    main()
