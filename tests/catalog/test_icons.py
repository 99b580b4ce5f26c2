"""What a connector's picture may be, and what it may not."""

from __future__ import annotations

import pytest

from workbench.catalog import connectors
from workbench.catalog.icons import LARGEST, checked, fault

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'


def _svg(inside: str) -> str:
    return f"{HEAD}{inside}</svg>"


def test_each_connector_that_is_built_in_has_a_picture_of_its_own() -> None:
    pictures = [connectors.manifest(name).icon for name in ("mysql", "duckdb", "files")]
    assert [fault(one) for one in pictures] == ["", "", ""]
    assert len({checked(one) for one in pictures} - {""}) == 3


def test_shapes_and_colours_pass() -> None:
    shapes = '<defs><linearGradient id="a"><stop offset="0" stop-color="rgb(1,2,3)"/></linearGradient></defs>'
    good = _svg(shapes + '<path d="M1 2l3-4z" fill="url(#a)" transform="rotate(45 1 2)"/><circle cx="1" cy="1" r="2"/>')
    assert fault(good) == ""
    assert checked(good) == good


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (_svg("<script>alert(1)</script>"), "script"),
        (_svg('<path d="M0 0" onload="alert(1)"/>'), "onload"),
        (_svg('<image href="http://elsewhere/x.png"/>'), "image"),
        (_svg('<a href="javascript:alert(1)"><path d="M0 0"/></a>'), "`a`"),
        (_svg('<use href="#x"/>'), "use"),
        (_svg("<style>@import 'http://elsewhere'</style>"), "style"),
        (_svg('<path d="M0 0" style="fill:red"/>'), "style"),
        (_svg('<path d="M0 0" fill="url(http://elsewhere/#a)"/>'), "fill"),
        (_svg('<path d="M0 0" fill="URL(//elsewhere)"/>'), "fill"),
        (_svg('<path d="M0 0" fill="u&#114;l(//elsewhere)"/>'), "fill"),
        (_svg("<foreignObject><body xmlns='http://www.w3.org/1999/xhtml'/></foreignObject>"), "foreignObject"),
        (_svg('<animate attributeName="href" values="javascript:alert(1)"/>'), "animate"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + _svg("<title>&a;</title>"), "declaration"),
        (_svg("<!-- -->"), "comment"),
        (_svg('<path xmlns:x="http://www.w3.org/1999/xlink" x:href="#a"/>'), "attribute"),
        ('<svg viewBox="0 0 1 1"/>', "svg"),
        ("<p>", "XML"),
        ("plain", "XML"),
        (_svg(" " * LARGEST), "characters"),
    ],
)
def test_what_could_do_something_or_lead_elsewhere_does_not(bad: str, why: str) -> None:
    assert why in fault(bad)
    assert checked(bad) == ""


def test_nothing_is_no_fault_of_anybody() -> None:
    assert checked("") == ""
