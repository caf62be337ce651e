"""The documentation's website: its links, what it has, and whether the checks of `make site` find what is planted."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess

import pytest
from conftest import ROOT

import fne

PYTHON = ROOT / ".build/site-venv/bin/python"
TOOLS = PYTHON.exists() and shutil.which("doxygen") and shutil.which("chromium")
needs_tools = pytest.mark.skipif(not TOOLS, reason="needs what `make site` installs")


def check():
    specification = importlib.util.spec_from_file_location("site_check", ROOT / "scripts/site/check.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [PYTHON, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder]
    environment = dict(os.environ, NO_MKDOCS_2_WARNING="1")
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@needs_tools
def test_every_link_leads_somewhere(site):
    assert len(list(site.rglob("*.html"))) > 40
    assert check().broken_links(site) == []


@needs_tools
def test_the_site_has_every_function(site):
    """Each exported function of the header, and each public name of the package, is a heading that the search knows."""
    index = json.loads((site / "search/search_index.json").read_text("utf-8"))
    places = {entry["location"] for entry in index["docs"]}
    anchors = {place.partition("#")[2] for place in places}
    functions = set(re.findall(r"^FNE_API .*?\b(fne_\w+)\(", (ROOT / "include/fne.h").read_text(), re.MULTILINE))
    assert len(functions) > 60 and functions <= anchors
    public = [name for name in fne.__all__ if callable(getattr(fne, name))]
    assert [name for name in public if not {f"fne.{name}", f"fne.errors.{name}"} & anchors] == []
    assert not [place for place in places if place.startswith("source/")]


PAGE = '<html><head><title>t</title>{head}</head><body><h1 id="top">t</h1>{body}</body></html>'


def test_broken_links_are_found(tmp_path):
    links = ["b.html#there", "b.html#gone", "c.html", "https://a.b/", "#top"]
    body = "".join(f'<a href="{link}">a</a>' for link in links)
    head = '<script src="https://cdn.b/x.js"></script><link href="style.css">'
    (tmp_path / "a.html").write_text(PAGE.format(head=head, body=body))
    (tmp_path / "b.html").write_text(PAGE.format(head="", body='<p id="there">'))
    (tmp_path / "style.css").write_text("p { background: url(https://fonts.b/y.png) }")
    assert check().broken_links(tmp_path) == [
        "a.html: b.html#gone, without that anchor",
        "a.html: c.html",
        "a.html: https://cdn.b/x.js",
        "style.css: https://fonts.b/y.png",
    ]


@needs_tools
def test_a_browser_finds_what_is_wrong(tmp_path):
    wide = '<p style="width: 3000px">wide</p>'
    (tmp_path / "a.html").write_text(PAGE.format(head="<script>console.log('said')</script>", body=""))
    (tmp_path / "b.html").write_text(PAGE.format(head="", body='<img src="http://127.0.0.1:1/x.png">'))
    (tmp_path / "c.html").write_text(PAGE.format(head="", body=wide))
    (tmp_path / "favicon.ico").write_bytes(b"")
    checked = subprocess.run([PYTHON, ROOT / "scripts/site/check.py", tmp_path], capture_output=True, text=True)
    assert checked.returncode == 1
    for line in (
        "a.html, desk: log: said",
        "b.html, phone: asks http://127.0.0.1:1/x.png",
        "c.html, desk: wider than the window",
    ):
        assert line in checked.stdout.splitlines(), checked.stdout
