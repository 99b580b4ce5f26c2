"""The pictures that connectors declare: SVG of which only shapes and colours are let through."""

from __future__ import annotations

import functools
import re
from xml.etree import ElementTree

__all__ = ["LARGEST", "checked", "fault"]

LARGEST = 4_096
"""Characters of the largest picture."""
_SVG = "{http://www.w3.org/2000/svg}"
_KNOWN = "svg g path circle ellipse rect line polyline polygon title defs linearGradient radialGradient stop"
_ELEMENTS = frozenset(_KNOWN.split())
_ABOUT_THEM = (
    "viewBox width height d cx cy r rx ry x y x1 y1 x2 y2 fx fy points fill stroke opacity transform id offset "
    "fill-rule fill-opacity clip-rule stroke-width stroke-linecap stroke-linejoin stroke-opacity stroke-dasharray "
    "stop-color stop-opacity gradientUnits gradientTransform preserveAspectRatio"
)
_ATTRIBUTES = frozenset(_ABOUT_THEM.split())
_OWN = re.compile(r"url\(#[A-Za-z][\w-]*\)")


@functools.lru_cache(maxsize=256)
def fault(svg: str) -> str:
    """Why this is no picture that may be shown; empty where it is one."""
    if len(svg) > LARGEST:
        return f"it has {len(svg):,} characters; {LARGEST:,} are the most"
    if "<!" in svg or "<?" in svg:
        return "it has a declaration or a comment"  # among them those that expand without end
    try:
        root = ElementTree.fromstring(svg)
    except (ElementTree.ParseError, ValueError) as error:
        return f"it is no XML ({error})"
    if root.tag != f"{_SVG}svg":
        return "its element is not `svg` of http://www.w3.org/2000/svg"
    for element in root.iter():
        name = str(element.tag).removeprefix(_SVG)
        if name not in _ELEMENTS or not str(element.tag).startswith(_SVG):
            return f"it has an element `{name[:40]}`"
        for attribute, value in element.attrib.items():
            if attribute not in _ATTRIBUTES:
                return f"it has an attribute `{attribute[:40]}`"
            rest = _OWN.sub("", value)
            if "(" in rest and attribute not in ("transform", "gradientTransform", "fill", "stroke", "stop-color"):
                return f"its attribute `{attribute}` has a call"
            if re.search(r"url|:|\\|//|@|&", rest, re.IGNORECASE):
                return f"its attribute `{attribute}` leads out of it"
    return ""


def checked(svg: str) -> str:
    """The picture, or nothing where it is not one that may be shown: then it has the usual one."""
    return "" if not svg or fault(svg) else svg
