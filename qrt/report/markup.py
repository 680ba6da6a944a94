"""Markup that cannot be injected into: text is escaped unless this module made it.

`element` is the only way by which the report's pages and figures write HTML and SVG. A child that is a plain `str` is text, and is
escaped; a child that is `Markup` was built here, and is not. Attribute values are always escaped. Numbers are written short.
"""

from __future__ import annotations

from html import escape

VOID = frozenset({"meta", "br", "hr", "img"})


class Markup(str):
    """A string that is markup already."""

    __slots__ = ()


def join(*children: str | float | None) -> Markup:
    """Return the children one after the other, plain text escaped, None left out."""
    return Markup("".join(_child(child) for child in children))


def element(name: str, /, *children: str | float | None, **attributes: str | float | None) -> Markup:
    """Return an element. `class_` and `for_` stand for attributes that are Python words; an underscore inside is a hyphen."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def _child(child: str | float | None) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Markup) else escape(_text(child))


def _text(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{round(value, 2):g}" if abs(value) < 1e6 else str(round(value))
