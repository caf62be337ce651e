"""Text that others wrote, such as a file's name, made fit to be shown."""

from __future__ import annotations

import unicodedata

#: Control characters, bytes that are not UTF-8, and ends of lines and of paragraphs.
_HIDDEN = {"Cc", "Cs", "Zl", "Zp"}
#: What turns the direction of the text that follows: with it, a name can look like another one.
_DIRECTIONS = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    r"""The text in one line, with escapes for what a terminal would obey instead of show.

    Control characters become \n, \r, \t, \x1b or \u009b. Bytes that are not UTF-8, as `os.fsdecode` gives them, become
    \xff. All other characters stay as they are, also backslashes.

    >>> print(printable("a\x1b]0;title\x07\n.jpg"))
    a\x1b]0;title\x07\n.jpg
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN and character not in _DIRECTIONS:
        return character
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    return _SHORT.get(character) or (f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}")


def in_short(failure: Exception) -> str:
    """Another package's exception in one line. Long messages say what is wrong at their beginnings and ends."""
    said = " ".join(str(failure).split()).rstrip(".")
    return f"{type(failure).__name__}: {said if len(said) <= 600 else f'{said[:250]} ... {said[-300:]}'}"
