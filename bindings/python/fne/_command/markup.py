"""HTML that holds nothing but what is meant: all text is escaped in one place."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from typing import Any

from fne._text import printable

#: What the browser is told: no script, no other page, no address but data: for pictures. A page's own script is allowed
#: by its hash.
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


def data(identifier: str, value: Any) -> Markup:
    """A value as JSON, for the page's own script and for other programs. No text in it can end the element."""
    written = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return element("script", Markup(written), type="application/json", id=identifier)


def document(title: str, style: str, *body: Any, script: str = "") -> str:
    """A whole page, which loads nothing from elsewhere.

    Args:
        style: the page's own CSS
        body: what the page shows
        script: the page's own JavaScript, which holds nothing from outside; "": none
    """
    policy, last = POLICY, Markup()
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy, last = f"{POLICY}; script-src 'sha256-{digest}'", element("script", Markup(script))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", Markup(style)),
    )
    return "<!DOCTYPE html>" + element("html", head, element("body", *body, last), lang="en") + "\n"


def joined(*content: Any) -> Markup:
    """Pieces of HTML, and text, after each other."""
    return Markup("".join(part if isinstance(part, Markup) else html.escape(printable(str(part))) for part in content))
