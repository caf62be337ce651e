"""What MkDocs does beside docs/: it adds the pages that are made, and files that pages link to.

- c/ and cpp.md: the references of the headers, from Doxygen (reference.py).
- source/: each file outside of docs that a page links to, such as an example, as a page that shows it. So the site is
  whole without a repository to link to.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
import reference

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PROJECT = ["CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "THIRD-PARTY.md"]
# What stands in the site already.
MOVED = {"README.md": "index.md", **{name: f"project/{name}" for name in PROJECT}}
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
LANGUAGES = {".h": "c", ".hpp": "cpp", ".rs": "rust", ".lua": "lua", ".rb": "ruby", ".pl": "perl", ".swift": "swift"}
SOURCES: dict[str, Path] = {}


def on_files(files: Files, config: Any) -> Files:
    SOURCES.clear()
    for name, text in reference.pages().items():
        files.append(File.generated(config, name, content=text))
    for name in PROJECT:
        files.append(
            File.generated(config, f"project/{name}", content=_moved((ROOT / name).read_text(), ROOT, "project"))
        )
    for page in sorted(DOCS.glob("*.md")):
        _moved(page.read_text(), DOCS, "")  # collects what is linked to
    for place, path in sorted(SOURCES.items()):
        files.append(File.generated(config, place, content=_shown(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    generated = page.file.generated_by is not None
    return markdown if generated else _moved(markdown, DOCS, "")


def _moved(markdown: str, folder: Path, place: str) -> str:
    """A page's text with its links as the site has them.

    Args:
        folder: where the page stands in the project
        place: its folder in the site
    """

    def link(found: re.Match[str]) -> str:
        target = found.group(2)
        if re.match(r"[a-z]+:", target):
            return found.group()
        path = (folder / target).resolve()
        inside = path.relative_to(ROOT).as_posix()
        if path.is_relative_to(DOCS):
            new = path.relative_to(DOCS).as_posix()
        elif inside in MOVED:
            new = MOVED[inside]
        else:
            new = f"source/{inside}.md"
            SOURCES[new] = path
        return found.group(1) + os.path.relpath(new, place or ".") + found.group(3)

    # Code is not touched.
    parts = re.split(r"(^```.*?^```$|`[^`\n]*`)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if number % 2 else LINK.sub(link, part) for number, part in enumerate(parts))


def _shown(path: Path) -> str:
    """A file, or the files of a folder, as a page that the search leaves out."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file() and _text(file))
    parts = ["---\nsearch:\n  exclude: true\n---\n", f"# {path.relative_to(ROOT).as_posix()}\n"]
    for file in files:
        if path.is_dir():
            parts.append(f"## {file.relative_to(path).as_posix()}\n")
        language = LANGUAGES.get(file.suffix, file.suffix.lstrip(".") or "text")
        parts.append(f"``````{language}\n{file.read_text()}``````\n")
    return "\n".join(parts)


def _text(file: Path) -> bool:
    return file.suffix in {".py", ".c", ".cpp", ".go", ".md", *LANGUAGES} and "build" not in file.parts[-3:]
