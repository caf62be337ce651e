"""What the embedding is worth on several data sets and networks: the tables of docs/results.md and README.

    make reproduce                      # needs no download but Debian's packages and PyPI
    make reproduce ASSETS=FOLDER        # also photographs of flowers, and three more networks
    make reproduce QUICK=1              # a few digits, to see that all works

FOLDER has images/flowers17, and in models bvlc_googlenet.pb, mobilenet_v2_1.0_224.pb and squeezenet_v1.1.pb. Further
data sets and networks:

    .venv/bin/python Benchmarks/reproduce.py --set outside mushrooms --network resnet.pb '{"scale": 0.0039}'

The tables are written to OUT/tables.md, and their numbers to OUT/tables.json. A pair of a network and a data set that
was measured is read from OUT/pairs, so that a run which was interrupted goes on. Remove its folder to measure it again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from comparing import (
    Gain,
    Mean,
    Values,
    gain,
    gain_text,
    markdown,
    mean_of_queries,
    mean_of_splits,
    mean_text,
)
from measuring import CLASSIFIED, CLASSIFIERS, COMPACT, SEARCHED, Network, measured
from picture_sets import KINDS, DataSet, all_sets, digits

import fne

CAFFE = {"channel_order": "bgr", "mean": (103.939, 116.779, 123.68)}
#: The networks of --assets.
NETWORKS = {
    "GoogLeNet": ("bvlc_googlenet.pb", {**CAFFE, "size": (224, 224)}),
    "MobileNet V2": ("mobilenet_v2_1.0_224.pb", {"mean": 127.5, "scale": 1 / 127.5, "size": (224, 224)}),
    "SqueezeNet 1.1": ("squeezenet_v1.1.pb", {**CAFFE, "size": (227, 227)}),
}
#: The size of the default network's input.
SIZE = (224, 224)
IMAGES, SEEDS = (1, 2, 5, 10), 5
QUICK_IMAGES, QUICK_SEEDS, QUICK_PER_DIGIT = (1, 2, 5), 2, 12
#: What the other rows are compared with.
SEARCH_REFERENCES = ("FNE, all layers, cosine", "penultimate, floats, cosine")
REFERENCES = ("FNE, all layers", "penultimate, over its norm")

Pairs = Sequence[dict[str, Any]]


def networks(given: argparse.Namespace) -> list[Network]:
    found = [Network("EfficientNet-Lite0", fne.zoo.efficientnet_lite0(), {"size": SIZE})]
    if given.assets:
        found += [Network(name, given.assets / "models" / file, rest) for name, (file, rest) in NETWORKS.items()]
    return found + [Network(Path(file).stem, Path(file), options) for file, options in given.network]


def data_sets(given: argparse.Namespace) -> list[DataSet]:
    folder = given.out / "sets"
    if given.quick:
        digits(folder / "digits", QUICK_PER_DIGIT)
        found = [DataSet("digits", "unlike", folder / "digits")]
    else:
        found = all_sets(folder)
        if given.assets:
            found.insert(1, DataSet("photographs of flowers", "outside", given.assets / "images/flowers17"))
    return found + [DataSet(Path(path).name, kind, Path(path)) for kind, path in given.set]


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """All pairs, with a line for each on stderr."""
    images, seeds = (QUICK_IMAGES, QUICK_SEEDS) if given.quick else (IMAGES, SEEDS)
    asked = [(network, data) for data in data_sets(given) for network in networks(given)]
    found = []
    for number, (network, data) in enumerate(asked, 1):
        start = time.monotonic()
        folder = given.out / "pairs" / f"{network.name}-{data.folder.name}".replace(" ", "-")
        found.append(measured(network, data, folder, images, seeds))
        seconds = time.monotonic() - start
        print(f"{number} of {len(asked)}: {network.name}, {data.name}, {seconds:.0f} s", file=sys.stderr, flush=True)
    return found


# ---- tables

#: A title, the heads of the columns, and the rows.
Table = tuple[str, list[str], list[list[Any]]]
#: The columns of a table: of each its pairs, and what is taken of a pair's rows.
Columns = Mapping[str, tuple[Sequence[Values], str]]


def tables(pairs: Pairs) -> Iterator[Table]:
    """The tables: a title, the heads of the columns, and rows of a name and a `Mean` or a `Gain` for each column."""
    yield from search_tables(pairs)
    for classifier in CLASSIFIERS:
        yield from classifier_tables(pairs, classifier)


def kinds(pairs: Pairs) -> dict[str, Pairs]:
    """The pairs of each kind of data set, and all."""
    found = {say: [pair for pair in pairs if pair["kind"] == kind] for kind, say in KINDS.items()}
    return {say: some for say, some in found.items() if some} | {"all": pairs}


def search_tables(pairs: Pairs) -> Iterator[Table]:
    rows = (*SEARCHED, COMPACT)
    groups = {f"{say} ({len(some)})": [pair["search"] for pair in some] for say, some in kinds(pairs).items()}
    for measure in ("mAP", "R@1"):
        columns = {say: (some, measure) for say, some in groups.items()}
        yield f"search, {measure}", *table(rows, columns, mean_of_queries)
    for reference in SEARCH_REFERENCES:
        columns = {say: (some, "mAP") for say, some in groups.items()}
        yield f"search, mAP, minus: {reference}", *table(rows, columns, against(reference))
    each = [[mean_of_queries([pair["search"]], row, "mAP") for row in rows] for pair in pairs]
    yield (
        "search, mAP of each pair",
        list(rows),
        [[name_of(pair), *cells] for pair, cells in zip(pairs, each, strict=True)],
    )


def classifier_tables(pairs: Pairs, classifier: str) -> Iterator[Table]:
    for say, some in kinds(pairs).items():
        values = [pair[classifier] for pair in some]
        columns = {number: (values, number) for number in numbers_of_images(some, classifier)}
        title = f"{CLASSIFIERS[classifier]} by images per class, {say} ({len(some)})"
        yield title, *table(tuple(CLASSIFIED), columns, mean_of_splits)
        for reference in REFERENCES:
            yield f"{title}, minus: {reference}", *table(tuple(CLASSIFIED), columns, against(reference))
    heads = numbers_of_images(pairs, classifier)
    found = [
        [f"{name_of(pair)}, {row}", *(mean_of_splits([pair[classifier]], row, number) for number in heads)]
        for pair in pairs
        for row in CLASSIFIED
    ]
    yield f"{CLASSIFIERS[classifier]} of each pair", heads, found


def numbers_of_images(pairs: Pairs, classifier: str) -> list[str]:
    return list(dict.fromkeys(number for pair in pairs for row in pair[classifier].values() for number in row))


def name_of(pair: dict[str, Any]) -> str:
    return f"{pair['set']}, {pair['network']}"


def against(reference: str) -> Callable[[Sequence[Values], str, str], Gain | None]:
    return lambda pairs, row, column: None if row == reference else gain(pairs, row, reference, column)


def table(
    rows: Sequence[str], columns: Columns, cell: Callable[[Sequence[Values], str, str], Mean | Gain | None]
) -> tuple[list[str], list[list[Any]]]:
    """The heads and the rows of a table. Rows without any number are left out."""
    found = [[row, *(cell(pairs, row, name) for pairs, name in columns.values())] for row in rows]
    return list(columns), [row for row in found if any(value is not None for value in row[1:])]


def text(found: Mean | Gain | None) -> str:
    return gain_text(found) if isinstance(found, Gain) else mean_text(found)


def options_of(parser: argparse.ArgumentParser, file: str, options: str) -> dict[str, Any]:
    """A network's options, from the command line."""
    try:
        found = json.loads(options)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        parser.error(f"the options of {file} are '{options}'; they must be an object in JSON, such as {{}}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, help="a folder with photographs of flowers and three networks")
    parser.add_argument("--set", nargs=2, action="append", default=[], metavar=("KIND", "FOLDER"))
    parser.add_argument("--network", nargs=2, action="append", default=[], metavar=("FILE", "OPTIONS"))
    parser.add_argument("--quick", action="store_true", help="only 120 digits")
    parser.add_argument("--out", type=Path, help="build/reproduce, and with --quick build/reproduce-quick")
    given = parser.parse_args()
    for kind, _ in given.set:
        if kind not in KINDS:
            parser.error(f"the kind of a data set is '{kind}'; it must be one of {', '.join(KINDS)}")
    given.network = [(file, options_of(parser, file, options)) for file, options in given.network]
    given.out = given.out or Path("build/reproduce-quick" if given.quick else "build/reproduce")
    made = list(tables(measure(given)))
    shown = "\n".join(
        f"**{title}**\n\n" + markdown(["", *heads], [[row[0], *map(text, row[1:])] for row in rows])
        for title, heads, rows in made
    )
    (given.out / "tables.md").write_text(shown)
    numbers = [
        {
            "title": title,
            "rows": [
                {"row": row[0], **{head: cell and cell._asdict() for head, cell in zip(heads, row[1:], strict=True)}}
                for row in rows
            ],
        }
        for title, heads, rows in made
    ]
    (given.out / "tables.json").write_text(json.dumps(numbers, indent=1) + "\n")
    print(shown)


if __name__ == "__main__":
    main()
