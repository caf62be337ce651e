"""Checks a built site: its links, what a browser says to its pages, and its search.

    .build/site-venv/bin/python scripts/site/check.py build/site

- Every link inside of the site leads to a file and an anchor that are there. Nothing is loaded from elsewhere.
- In a browser, at the widths of a desk and of a phone, no page logs a message, asks another host, or is wider than the
  window.
- The search finds a function of C, of C++ and of Python.
"""

from __future__ import annotations

import functools
import http.server
import re
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}
FOUND = {
    "fne_extract_files": "c/extractor.html#fne_extract_files",
    "fne::packed_search": "cpp.html#fne-packed_search",
    "embed_dataset": "reference-python.html#fne.embed_dataset",
    "nearest bfloat16": "numerics.html#bfloat16",
}


class _Page(HTMLParser):
    """The anchors of a page, and what it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.anchors |= {given[name] or "" for name in ("id", "name") if name in given}
        for name in ("href", "src"):
            if given.get(name):
                (self.links if tag == "a" else self.loads).append(given[name] or "")


def broken_links(site: Path) -> list[str]:
    """One line for each link that leads nowhere, and for each thing that is loaded from elsewhere."""
    pages = {path: _Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    faults = []
    for path, page in pages.items():
        for link in page.links + page.loads:
            split = urlsplit(link)
            if split.scheme == "data" or (split.scheme == "https" and link in page.links):
                continue
            target = (path.parent / unquote(split.path)).resolve() if split.path else path
            if split.path.startswith("/"):  # of the page for what is not found, which may stand anywhere
                target = site / unquote(split.path).lstrip("/")
            target = target / "index.html" if target.is_dir() else target
            if split.scheme or split.netloc or not target.is_file():
                faults.append(f"{path.relative_to(site)}: {link}")
            elif (
                split.fragment and target in pages and unquote(split.fragment) not in pages[target].anchors | {"__top"}
            ):
                faults.append(f"{path.relative_to(site)}: {link}, without that anchor")
    for path in site.rglob("*.css"):
        faults += [
            f"{path.relative_to(site)}: {url}" for url in re.findall(r"url\(['\"]?(https?:[^)]*)", path.read_text())
        ]
    return faults


def browser_faults(site: Path) -> list[str]:
    """One line for each message, for each request to another host, and for each page that is too wide."""
    from playwright.sync_api import sync_playwright

    with _served(site) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        faults = [fault for name in WIDTHS for fault in _faults_at(browser, address, site, name)]
        if (site / "search").is_dir():
            faults += _search_faults(browser.new_page(), address)
        browser.close()
    return faults


def _faults_at(browser: Browser, address: str, site: Path, name: str) -> list[str]:
    width, height = WIDTHS[name]
    faults: list[str] = []
    here = ""
    tab = browser.new_page(viewport={"width": width, "height": height})
    tab.on("console", lambda message: faults.append(f"{here}: {message.type}: {message.text}"))
    tab.on("pageerror", lambda failure: faults.append(f"{here}: {failure}"))
    tab.on("request", lambda sent: faults.extend([] if _is_local(sent.url, address) else [f"{here}: asks {sent.url}"]))
    for path in sorted(site.rglob("*.html")):
        if path.name == "404.html":  # it may stand anywhere, so its links are those of a server's root
            continue
        here = f"{path.relative_to(site)}, {name}"
        tab.goto(f"{address}{path.relative_to(site).as_posix()}")
        if tab.evaluate("document.documentElement.scrollWidth") > width:
            faults.append(f"{here}: wider than the window")
    tab.close()
    return faults


def _search_faults(tab: Page, address: str) -> Iterator[str]:
    from playwright.sync_api import TimeoutError

    # The results carry the words searched for in their address, which is left out here.
    results = "[...document.querySelectorAll('a.md-search-result__link')].map(a => a.href.replace(/[?][^#]*/, ''))"
    for words, place in FOUND.items():
        tab.goto(f"{address}index.html")
        field = tab.locator("input.md-search__input")
        field.click()
        field.press_sequentially(words)
        try:
            tab.wait_for_function(f"place => {results}.some(found => found.endsWith(place))", arg=place, timeout=20_000)
        except TimeoutError:
            yield f"search: {words!r} does not find {place}, but {tab.evaluate(results)[:5]}"


def _is_local(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:"))


class _served:
    """A web server for a folder, on this machine; gives its address."""

    def __init__(self, folder: Path) -> None:
        handler = functools.partial(_Quiet, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


def main() -> int:
    site = Path(sys.argv[1]).resolve()
    faults = broken_links(site) + browser_faults(site)
    print("\n".join(faults) or f"{site}/index.html: links, pages and search are in order")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
