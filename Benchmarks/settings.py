"""What the parts of the benchmark are asked for on their command lines."""

from __future__ import annotations

import argparse
from pathlib import Path

from figures import print_at_once
from networks import Network, networks, photographs

#: Rounds of a trial, of which the figures say little.
TRIAL_ROUNDS = 3


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all parts have. `doc` is the script's."""
    result = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--assets", type=Path, help="a folder with networks and photographs")
    result.add_argument("--network", default="", help="only networks whose title starts so")
    result.add_argument("--rounds", type=int, help=f"5, and {TRIAL_ROUNDS} with --quick")
    result.add_argument("--quick", action="store_true", help="a trial: fewer networks, images and rounds")
    return result


def parse(options: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of the command line, with the number of rounds."""
    print_at_once()
    given = options.parse_args()
    if given.rounds is None:
        given.rounds = TRIAL_ROUNDS if given.quick else 5
    if given.rounds < 1:
        options.error(f"--rounds is {given.rounds}, and must be at least 1")
    return given


def chosen_networks(given: argparse.Namespace) -> list[Network]:
    """The networks that are measured. A trial takes one, the smallest that there is."""
    return networks(given.assets, given.network, only_one=given.quick)


def chosen_photographs(given: argparse.Namespace, folder: Path, most: int | None = None) -> list[str]:
    """Photographs, of a trial a hundred at most.

    Args:
        folder: where they are written, if they have to be made
        most: takes so many at most, evenly
    """
    return evenly(photographs(given.assets, folder), min(most or 1_000_000, 100 if given.quick else 1_000_000))


def evenly(paths: list[str], most: int) -> list[str]:
    return paths[:: max(1, len(paths) // most)][:most]
