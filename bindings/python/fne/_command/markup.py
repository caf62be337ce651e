"""HTML that holds nothing but what is meant: all text is escaped in one place."""

from __future__ import annotations

import html
from typing import Any

from fne._text import printable

#: What the browser is told: no script, no other page, no address but data: for pictures.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_VOID = {"br", "img", "link", "meta"}


class Markup(str):
    """A piece of HTML. Only this module makes pieces of strings, but for the page's own style and data."""


def element(tag: str, /, *content: Any, **attributes: Any) -> Markup:
    """An element. Content that is not `Markup` is text, and is escaped, as the attributes' values are.

    Args:
        attributes: an underscore stands for a hyphen; one at the end is left out, as in class_

    >>> print(element("td", "<b>", element("br"), 2, class_="n", data_name='"'))
    <td class="n" data-name="&quot;">&lt;b&gt;<br>2</td>
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(printable(str(value)))}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{tag}{given}>" if tag in _VOID else f"<{tag}{given}>{joined(*content)}</{tag}>")


def document(title: str, style: str, *body: Any) -> str:
    """A whole page, which loads nothing from elsewhere.

    Args:
        style: the page's own CSS
        body: what the page shows
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", Markup(style)),
    )
    return "<!DOCTYPE html>" + element("html", head, element("body", *body), lang="en") + "\n"


def joined(*content: Any) -> Markup:
    """Pieces of HTML, and text, after each other."""
    return Markup("".join(part if isinstance(part, Markup) else html.escape(printable(str(part))) for part in content))
