"""Documentation that is run or checked: docstrings' examples, links, and what the pages name."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import re

import pytest
from conftest import ROOT

import fne

# Modules whose requirements may be missing (make extras).
NEEDS = {"fne.ray": "ray", "fne.spark": "pyspark"}


def modules():
    names = [
        module.name
        for module in pkgutil.walk_packages(fne.__path__, "fne.")
        if not module.name.endswith(("__main__", "fne_torch"))
    ]
    return [name for name in names if name not in NEEDS or importlib.util.find_spec(NEEDS[name])]


@pytest.mark.parametrize("name", ["fne", *modules()])
def test_examples_in_docstrings(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    examples = [
        example
        for name in modules()
        for test in finder.find(importlib.import_module(name))
        for example in test.examples
        if not example.options.get(doctest.SKIP)
    ]
    assert len(examples) > 20


def test_everything_public_is_documented():
    for name in fne.__all__:
        thing = getattr(fne, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        assert thing.__doc__, name
        for member, value in vars(thing).items() if inspect.isclass(thing) else ():
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                assert value.__doc__ or (value.fget.__doc__ if isinstance(value, property) else None), (
                    f"{name}.{member}"
                )


def test_links_in_the_pages_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_options_of_the_command_are_real():
    """Every `fne ...` line of the pages and of the help parses."""
    from fne._command import _parser

    lines = []
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        lines += re.findall(
            r"^ {4}(fne (?:embed|merge|layers|report|doctor|search)[^\n#]*)", page.read_text(), re.MULTILINE
        )
    help_texts = [action for action in _parser()._actions if action.dest == "run" or hasattr(action, "choices")]
    for action in help_texts:
        for command in (getattr(action, "choices", None) or {}).values():
            lines += re.findall(r"^ {2}(fne .*)", command.epilog or "", re.MULTILINE)
    assert len(lines) >= 10
    for line in lines:
        _parser().parse_args(re.findall(r"'[^']*'|\S+", line)[1:])
