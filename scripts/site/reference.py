"""Pages of the C and C++ references, made from Doxygen's XML of include/fne.h and bindings/cpp/fne.hpp.

Headings and declarations are Markdown, so that the site's search and its tables of contents find them. Descriptions are
HTML, so that no character of a comment is taken for Markdown.
"""

from __future__ import annotations

import html
import os
import re
import subprocess
import xml.etree.ElementTree as xml
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
XML = ROOT / ".build/site"

# The inline namespace of fne.hpp, which users never write.
_VERSION = re.compile(r"\bv\d+_\d+_\d+_cxx\d+::")


def pages() -> dict[str, str]:
    """Markdown by the pages' places in the site."""
    return {**_c_pages(), "cpp.md": _cpp_page()}


def _doxygen(header: str, *settings: str) -> Path:
    """The XML of one header. `make docs` refuses what is not documented, so nothing is warned of here."""
    output = XML / Path(header).name
    given = ["@INCLUDE = docs/Doxyfile", f"INPUT = {header}", f"OUTPUT_DIRECTORY = {output}", "GENERATE_HTML = NO"]
    given += [
        "GENERATE_XML = YES",
        "XML_PROGRAMLISTING = NO",
        "WARNINGS = NO",
        "WARN_NO_PARAMDOC = NO",
        "WARN_AS_ERROR = NO",
        *settings,
    ]
    output.mkdir(parents=True, exist_ok=True)
    subprocess.run(["doxygen", "-"], input="\n".join(given), text=True, check=True, cwd=ROOT)
    return output / "xml"


def _compounds(folder: Path, *kinds: str) -> list[xml.Element]:
    found = []
    for compound in xml.parse(folder / "index.xml").getroot():
        if compound.get("kind") in kinds:
            definition = xml.parse(folder / f"{compound.get('refid')}.xml").getroot().find("compounddef")
            assert definition is not None
            found.append(definition)
    return sorted(found, key=_line)


def _line(element: xml.Element) -> int:
    """Where it stands in the header; a group, where its first member does."""
    location = element.find("location")
    if location is not None:
        return int(location.get("line", 0))
    return min((_line(member) for member in element.iter("memberdef")), default=0)


# ---- C: a page for each section of the header


def _c_pages() -> dict[str, str]:
    folder = _doxygen("include/fne.h")
    groups = _compounds(folder, "group")
    structs = {struct.get("id"): struct for struct in _compounds(folder, "struct")}
    links: dict[str, str] = {}
    for group in groups:
        page = f"{group.findtext('compoundname')}.html"
        links[group.get("id", "")] = page
        links |= {member.get("id", ""): f"{page}#{member.findtext('name')}" for member in group.iter("memberdef")}
        for inner in group.iter("innerclass"):
            links[inner.get("refid", "")] = f"{page}#{inner.text}"
            for member in structs[inner.get("refid")].iter("memberdef"):
                links[member.get("id", "")] = f"{page}#{inner.text}"
    text = _Text(links)

    result, index = {}, []
    for group in groups:
        title, name = group.findtext("title"), group.findtext("compoundname")
        parts = [f"# {title}", text.description(group)]
        index += [f"## {title}", text.description(group), ""]
        members = [*group.iter("memberdef"), *(structs[inner.get("refid")] for inner in group.iter("innerclass"))]
        for together in _runs(sorted(members, key=_line)):
            if together[0].get("kind") == "define":
                parts += _constants(together, text)
                continue
            (member,) = together
            shown = member.findtext("name") or member.findtext("compoundname")
            declaration = _struct(member) if member.tag == "compounddef" else _declaration(member)
            parts += [f"## {shown} {{ #{shown} }}", f"```c\n{declaration}\n```", text.description(member)]
            if member.tag == "compounddef":
                parts.append(text.members(member))
            elif member.get("kind") == "function":
                brief = html.unescape(re.sub("<[^>]*>", "", text.description(member, brief=True)))
                index.append(f"- [`{shown}`]({name}.md#{shown}): {_plain(brief)}")
        index.append("")
        result[f"c/{name}.md"] = "\n\n".join(parts) + "\n"
    main = xml.parse(folder / "indexpage.xml").getroot().find("compounddef")
    assert main is not None
    result["c/index.md"] = "\n\n".join(["# C reference", text.description(main), "\n".join(index)]) + "\n"
    return result


def _runs(members: list[xml.Element]) -> list[list[xml.Element]]:
    """Constants with no empty line between them in the header are shown together."""
    header = (ROOT / "include/fne.h").read_text().split("\n")
    runs: list[list[xml.Element]] = []
    for member in members:
        last = runs[-1][-1] if runs else member
        constants = member.get("kind") == last.get("kind") == "define"
        if runs and constants and all(header[_line(last) : _line(member)]):
            runs[-1].append(member)
        else:
            runs.append([member])
    return runs


def _constants(members: list[xml.Element], text: _Text) -> list[str]:
    names = [member.findtext("name", "") for member in members]
    common = os.path.commonprefix(names)  # noqa: RUF071 - of names, not of paths
    title = f"{common[: common.rindex('_') + 1]}\\*" if len(names) > 1 else names[0]
    rows = ""
    for name, member in zip(names, members, strict=True):
        definition = html.escape(f"#define {name} {_flat(member.find('initializer'))}", quote=False)
        rows += f'<dt id="{name}"><code>{definition}</code></dt><dd>{text.description(member)}</dd>'
    return [f"## {title}", f"<dl>{rows}</dl>"]


# ---- C++: one page


def _cpp_page() -> str:
    folder = _doxygen("bindings/cpp/fne.hpp", "OPTIMIZE_OUTPUT_FOR_C = NO")
    file = next(file for file in _compounds(folder, "file") if file.findtext("compoundname") == "fne.hpp")
    classes = [each for each in _compounds(folder, "class", "struct") if _documented(each)]
    spaces = _compounds(folder, "namespace")
    links: dict[str, str] = {}
    for each in classes:
        name = _VERSION.sub("", each.findtext("compoundname", ""))
        links[each.get("id", "")] = f"#{_anchor(name)}"
        links |= {
            member.get("id", ""): f"#{_anchor(name + '::' + member.findtext('name', ''))}"
            for member in each.iter("memberdef")
            if _documented(member) and member.get("kind") != "variable"
        }
    functions = {
        member.get("id", ""): member
        for space in spaces
        for member in space.iter("memberdef")
        if _documented(member) and _VERSION.sub("", member.findtext("qualifiedname", "")).count("::") == 1
    }
    links |= {key: f"#{_anchor('fne::' + member.findtext('name', ''))}" for key, member in functions.items()}
    text = _Text(links)

    parts, seen = ["# C++ reference", text.description(file), "## Classes"], set()

    def heading(level: int, name: str) -> str:
        """Overloads share the first one's anchor."""
        anchor = _anchor(name)
        if anchor in seen:
            return ""
        seen.add(anchor)
        return f"{'#' * level} {name} {{ #{anchor} }}"

    for each in classes:
        name = _VERSION.sub("", each.findtext("compoundname", ""))
        parts += [heading(3, name), text.description(each), text.members(each)]
        for member in sorted(each.iter("memberdef"), key=_line):
            if _documented(member) and member.get("kind") != "variable":
                parts.append(heading(4, f"{name}::{member.findtext('name')}"))
                parts += [f"```cpp\n{_declaration(member)}\n```", text.description(member)]
    parts.append("## Functions and types")
    for member in sorted(functions.values(), key=_line):
        parts.append(heading(3, f"fne::{member.findtext('name')}"))
        parts += [f"```cpp\n{_declaration(member)}\n```", text.description(member)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _documented(element: xml.Element) -> bool:
    parts = (element.find("briefdescription"), element.find("detaileddescription"))
    public = element.get("prot", "public") == "public"
    return public and any("".join(part.itertext()).strip() for part in parts if part is not None)


def _anchor(name: str) -> str:
    return re.sub(r"[^\w]+", "-", name).strip("-")


# ---- declarations


def _declaration(member: xml.Element) -> str:
    kind, name = member.get("kind"), member.findtext("name", "")
    if kind == "define":
        return f"#define {name} {_flat(member.find('initializer'))}".rstrip()
    template = member.find("templateparamlist")
    before = f"template <{', '.join(_parameter(each) for each in template)}>\n" if template is not None else ""
    definition = _tight(member.findtext("definition", ""))
    definition = re.sub(rf"(?:\w+(?:< [^>]* >)?::)+(?={re.escape(name)}$)", "", definition)
    if kind == "typedef":
        return before + definition + member.findtext("argsstring", "") + ";"
    parameters = [_parameter(each) for each in member.findall("param")]
    after = re.sub(r"^\(.*\)", "", member.findtext("argsstring", ""), flags=re.DOTALL)
    line = f"{definition}({', '.join(parameters)}){after};"
    if len(line) > 90:
        line = f"{definition}(\n    " + ",\n    ".join(parameters) + f"){after};"
    return before + line if kind == "function" else before + definition + ";"


def _parameter(parameter: xml.Element) -> str:
    kind, name = _flat(parameter.find("type")), parameter.findtext("declname", "")
    default = _flat(parameter.find("defval"))
    shown = kind + name if kind.endswith(("*", "&")) else f"{kind} {name}".strip()
    return _tight(shown) + (f" = {default}" if default else "")


def _tight(declaration: str) -> str:
    """As it is written: Doxygen has "vector< int >"."""
    return _VERSION.sub("", declaration).replace("< ", "<").replace(" >", ">")


def _struct(struct: xml.Element) -> str:
    name = struct.findtext("compoundname")
    lines = []
    for member in struct.iter("memberdef"):
        kind, end = _flat(member.find("type")), member.findtext("argsstring", "")
        lines.append(f"    {kind}{'' if kind.endswith('*') else ' '}{member.findtext('name')}{end};")
    return "\n".join([f"typedef struct {name} {{", *lines, f"}} {name};"])


def _flat(element: xml.Element | None) -> str:
    return "" if element is None else re.sub(r"\s+", " ", "".join(element.itertext())).strip()


def _plain(text: str) -> str:
    """A sentence as Markdown."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", re.sub(r"\s+", " ", text).strip())


# ---- descriptions


_INLINE = {"computeroutput": "code", "bold": "strong", "emphasis": "em", "linebreak": "br"}
_BLOCKS = {"itemizedlist": "ul", "orderedlist": "ol", "listitem": "li"}
_OWN_LINES = {
    "itemizedlist",
    "orderedlist",
    "parameterlist",
    "simplesect",
    "verbatim",
    "preformatted",
    "programlisting",
}
_TITLES = {"return": "Returns", "note": "Note", "since": "Since", "see": "See", "warning": "Warning"}
_TITLES |= {"param": "Parameters", "retval": "Errors", "exception": "Throws", "templateparam": "Template parameters"}


class _Text:
    """Doxygen's descriptions as HTML.

    Args:
        links: from Doxygen's identifiers to places in the site
    """

    def __init__(self, links: dict[str, str]) -> None:
        self._links = links

    def description(self, element: xml.Element, brief: bool = False) -> str:
        names = ["briefdescription"] if brief else ["briefdescription", "detaileddescription"]
        inside = "".join(self._children(part) for name in names if (part := element.find(name)) is not None)
        inside = re.sub(r"<p>\s*</p>", "", inside).strip()
        return f'<div class="reference">{inside}</div>' if inside else ""

    def members(self, struct: xml.Element) -> str:
        """The documented members of a struct, as a list of terms."""
        rows = []
        for member in struct.iter("memberdef"):
            if member.get("kind") == "variable" and _documented(member):
                rows.append((member.findtext("name", ""), self.description(member)))
        return self._terms("Members", rows)

    def _terms(self, title: str, rows: list[tuple[str, str]]) -> str:
        if not rows:
            return ""
        listed = "".join(f"<dt><code>{html.escape(term)}</code></dt><dd>{text}</dd>" for term, text in rows)
        return f'<p class="title">{title}</p><dl>{listed}</dl>'

    def _children(self, element: xml.Element) -> str:
        inside = [html.escape(element.text or "", quote=False)]
        for child in element:
            inside += [self._one(child), html.escape(child.tail or "", quote=False)]
        return "".join(inside)

    def _paragraph(self, element: xml.Element) -> str:
        """Doxygen has lists and sections inside of paragraphs; in HTML they end them."""
        result, line = [], html.escape(element.text or "", quote=False)
        for child in element:
            if child.tag in _OWN_LINES:
                result += [f"<p>{line.strip()}</p>" if line.strip() else "", self._one(child)]
                line = ""
            else:
                line += self._one(child)
            line += html.escape(child.tail or "", quote=False)
        return "".join([*result, f"<p>{line.strip()}</p>" if line.strip() else ""])

    def _code(self, element: xml.Element) -> str:
        inside = " " if element.tag == "sp" else element.text or ""
        return inside + "".join(self._code(child) + (child.tail or "") for child in element)

    def _one(self, element: xml.Element) -> str:
        tag = element.tag
        if tag == "para":
            return self._paragraph(element)
        if tag == "ref":
            place = self._links.get(element.get("refid", ""))
            inside = self._children(element)
            return f'<a href="{place}">{inside}</a>' if place else inside
        if tag in _INLINE:
            name = _INLINE[tag]
            return "<br>" if name == "br" else f"<{name}>{self._children(element)}</{name}>"
        if tag in _BLOCKS:
            return f"<{_BLOCKS[tag]}>{self._children(element)}</{_BLOCKS[tag]}>"
        if tag == "parameterlist":
            rows = []
            for item in element.findall("parameteritem"):
                names = ", ".join(_flat(name) for name in item.iter("parametername"))
                description = item.find("parameterdescription")
                rows.append((names, "" if description is None else self._children(description)))
            return self._terms(_TITLES[element.get("kind", "")], rows)
        if tag == "simplesect":
            kind = element.get("kind", "")
            title = element.findtext("title") or _TITLES.get(kind, kind.capitalize())
            inside = "".join(self._one(child) for child in element if child.tag != "title")
            return f'<p class="title">{title}</p>{inside}'
        if tag in ("verbatim", "preformatted"):
            return f"<pre><code>{html.escape(element.text or '', quote=False)}</code></pre>"
        if tag == "programlisting":
            code = "\n".join(self._code(line) for line in element.iter("codeline"))
            return f"<pre><code>{html.escape(code, quote=False)}</code></pre>"
        signs = {"ndash": "&ndash;", "mdash": "&mdash;", "nonbreakablespace": " ", "sp": " "}
        return signs.get(tag) or self._children(element)
