"""The tables of docs/results.md, from photographs in a folder for each class.

    .venv/bin/python Benchmarks/results.py --assets FOLDER [--out build/results]

FOLDER has images/flowers17 and models/bvlc_googlenet.pb, models/mobilenet_v2_1.0_224.pb; the third network is the
default one. Takes about 25 minutes on two cores; what is in OUT already is taken as it is.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

import fne
from fne._evaluation.dataset import data_set
from fne._evaluation.plots import plot
from fne._evaluation.protocol import class_accuracy, splits
from fne._evaluation.representations import REPRESENTATIONS, Representations, Roles
from fne._evaluation.result import Score
from fne._thresholds import LOWERS, UPPERS

NETWORKS = {
    "GoogLeNet": ("bvlc_googlenet.pb", {"channel_order": "bgr", "mean": (103.939, 116.779, 123.68)}),
    "MobileNet V2": ("mobilenet_v2_1.0_224.pb", {"mean": 127.5, "scale": 1 / 127.5}),
    "EfficientNet-Lite0": (None, {}),
}
IMAGES = (1, 2, 5, 10, 20)
SEEDS = 5
FEW = ("fne", "fne last 50%", "fne last 25%", "centred", "best layer", "penultimate", "penultimate l2", "outputs")
#: Other linear SVMs on the same rows; of C, more than 10 changes nothing and less is worse.
SVMS = {
    "SVC, one against one": SVC(kernel="linear", C=10),
    "SVC, one against the rest": OneVsRestClassifier(SVC(kernel="linear", C=10)),
}
NAMES = {
    "fne": "**FNE** (ternary, all layers)",
    "fne last 75%": "FNE, last 75 % of the layers",
    "fne last 50%": "FNE, last 50 %",
    "fne last 25%": "FNE, last 25 %",
    "fne last 10%": "FNE, last 10 %",
    "fne + penultimate": "FNE beside the pooled last block, each over its L2 norm",
    "centred": "`FewShotEmbedder`",
    "fne with outputs": "FNE with the classifier's outputs",
    "standardized": "the same features, standardized floats",
    "l2": "the same features, over their L2 norm",
    "best layer": "best single layer (chosen on the training images)",
    "penultimate": "pooled last block (the classifier's input)",
    "penultimate l2": "pooled last block, over its L2 norm",
    "last layer": "last single layer",
    "outputs": "the classifier's outputs",
}


class Results:
    """A network's evaluation, made or read."""

    def __init__(self, name: str, assets: Path, out: Path) -> None:
        file, self.options = NETWORKS[name]
        self.model = fne.Model(assets / "models" / file if file else fne.zoo.efficientnet_lite0())
        self.source = assets / "images/flowers17"
        self.folder = out / name.replace(" ", "-")
        known = self.folder / "evaluation.json"
        if not known.exists():
            fne.evaluate(
                self.source,
                self.model,
                self.folder,
                images_per_class=IMAGES,
                seeds=SEEDS,
                representations=tuple(REPRESENTATIONS),  # the best layer too
                classifiers=("svm", "ridge", "centroid", "knn"),
                size=(224, 224),
                **self.options,
            )
        self.data = json.loads(known.read_text())
        self.job = fne.Job(self.folder / "job")
        self.labels = data_set(self.source).labels

    def mean(self, representation: str, classifier: str = "svm", images: int = 10) -> tuple[float, float] | None:
        wanted = (representation, classifier, images)
        rows = (r for r in self.data["summary"] if (r["representation"], r["classifier"], r["images"]) == wanted)
        row = next(rows, None)
        return (row["mean"], row["std"]) if row else None

    def gains(self) -> list[list[str]]:
        """What the FewShotEmbedder gains against all layers, by classifier and images per class."""
        rows = []
        for classifier in ("svm", "ridge"):
            wanted = {("centred", classifier, images) for images in IMAGES}
            found = [
                r for r in self.data["differences"] if (r["representation"], r["classifier"], r["images"]) in wanted
            ]
            rows.append([classifier, *(f"{r['mean']:+.3f} ± {r['error']:.3f}, {r['verdict']}" for r in found)])
        return rows

    def crops(self) -> dict[str, tuple[float, float]]:
        """Accuracy with ten crops, 10 training images per class."""
        folder = self.folder / "crops"
        if not (folder / "evaluation.json").exists():
            fne.evaluate(
                self.source,
                self.model,
                folder,
                images_per_class=(10,),
                seeds=SEEDS,
                size=(224, 224),
                crops=10,
                representations=("fne", "fne last 50%", "penultimate"),
                **self.options,
            )
        rows = json.loads((folder / "evaluation.json").read_text())["summary"]
        return {row["representation"]: (row["mean"], row["std"]) for row in rows}

    def thresholds(self) -> tuple[np.ndarray, float]:
        layers = [tensor.name for tensor in self.model.layers()]
        return fne.threshold_study(self.job, self.labels, images=10, seeds=SEEDS, layers=layers)

    def parts(self) -> dict[str, tuple[float, float]]:
        """Accuracy of the ternary codes of quarters of the layers; and of all by an SVM that sets one class against
        one."""
        roles = Roles.of(Roles.tensors(self.model.tensors()))
        data = Representations(self.job, self.labels, roles)
        quarters = np.array_split(np.array(roles.layers), 4)
        chosen = {f"quarter {n + 1} alone": quarter for n, quarter in enumerate(quarters)}
        chosen |= {
            f"without quarter {n + 1}": np.setdiff1d(roles.layers, quarter) for n, quarter in enumerate(quarters)
        }
        found: dict[str, list[float]] = {}
        for seed in range(SEEDS):
            split = splits(data.labels, 10, seed)
            mean, std = data.statistics(split[0])
            for name, numbers in {"all": roles.layers, **chosen}.items():
                columns = data.columns(numbers)
                rows = np.ascontiguousarray(data.rows[:, columns])
                kernel = data.kernel(fne.ternarize(rows, mean[columns], std[columns]), *split)
                truth = data.labels[split[1]]
                found.setdefault(name, []).append(class_accuracy(kernel.predict("svm"), truth))
                if name == "all":
                    for title, svm in SVMS.items():
                        training, test = kernel.rows()
                        predicted = svm.fit(training, data.labels[split[0]]).predict(test)
                        found.setdefault(title, []).append(class_accuracy(predicted, truth))
        features = [data.feature_count(quarter) for quarter in quarters]
        shares = {f"features of quarter {n + 1}": (count / sum(features), 0.0) for n, count in enumerate(features)}
        return shares | {name: (statistics.mean(v), statistics.stdev(v)) for name, v in found.items()}


def draw(result: Results, folder: Path) -> None:
    """docs/accuracy.png: the curves of the second table, of one network."""
    scores = [Score(**score) for score in result.data["scores"] if score["representation"] in FEW]
    drawn = fne.Evaluation(result.data["classes"], scores, {}, np.array(result.data["confusion"]), {})
    plot(drawn.summary(), drawn.classes, drawn.confusion, folder)


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def cell(value: tuple[float, float] | None) -> str:
    return f"{value[0]:.3f} ± {value[1]:.3f}" if value else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("build/results"))
    given = parser.parse_args()
    found = {name: Results(name, given.assets, given.out) for name in NETWORKS}
    networks = list(found)
    print(
        table(
            ["linear SVM, 10 training images per class", *networks],
            [[say, *(cell(r.mean(name)) for r in found.values())] for name, say in NAMES.items()],
        )
    )
    print(
        table(
            ["training images per class, linear SVM", *map(str, IMAGES)],
            [
                [f"{network}, {NAMES[name].replace('*', '')}", *(cell(r.mean(name, images=n)) for n in IMAGES)]
                for network, r in found.items()
                for name in FEW
            ],
        )
    )
    print(
        table(
            ["FNE, 10 training images per class", "linear SVM", "ridge", "nearest centroid", "k nearest neighbours"],
            [[n, *(cell(r.mean("fne", c)) for c in ("svm", "ridge", "centroid", "knn"))] for n, r in found.items()],
        )
    )
    print(
        table(
            ["`FewShotEmbedder` minus FNE, ± standard error", *map(str, IMAGES)],
            [[f"{n}, {row[0]}", *row[1:]] for n, r in found.items() for row in r.gains()],
        )
    )
    crops = found["GoogLeNet"].crops()
    print(
        table(
            ["GoogLeNet", "one image", "ten crops"],
            [[NAMES[n].replace("*", ""), cell(found["GoogLeNet"].mean(n)), cell(c)] for n, c in crops.items()],
        )
    )
    spread = [(say, [r.mean(name)[0] for r in found.values()]) for name, say in NAMES.items()]
    print(
        table(
            ["spread of the accuracy over the three networks", "largest - smallest", "deviation"],
            [[say, f"{max(v) - min(v):.3f}", f"{statistics.stdev(v):.3f}"] for say, v in spread],
        )
    )
    for name, result in found.items():
        grid, near = result.thresholds()
        print(
            table(
                [f"{name}: lower, upper", *(f"{u:.2f}" for u in UPPERS)],
                [[f"{low:.2f}", *(f"{v:.3f}" for v in row)] for low, row in zip(LOWERS, grid, strict=True)],
            )
        )
        print(f"{near:.2%} of the standardized values lie within 0.01 of -0.25 or 0.15\n")
    parts = [result.parts() for result in found.values()]
    print(table(["part", *networks], [[name, *(cell(part[name]) for part in parts)] for name in parts[0]]))
    draw(found["GoogLeNet"], given.out)


if __name__ == "__main__":
    main()
