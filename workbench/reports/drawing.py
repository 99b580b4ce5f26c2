"""What figures of reports share: colours for light and dark, text that is data and stays text."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from typing import Any

from workbench.contract.errors import InvalidParameter

__all__ = ["THEMES", "Theme", "label", "plain", "theme_named"]

THEME_OF_DASHBOARD = "WORKBENCH_THEME"


@dataclass(frozen=True)
class Theme:
    template: str
    ground: str
    text: str
    faint: str
    grid: str
    accent: str
    series: tuple[str, ...]
    good: str
    bad: str

    @property
    def label(self) -> dict[str, Any]:
        """The box beside the pointer, which needs a ground."""
        if self.ground != NO_GROUND:
            return {}
        return {"bgcolor": "#2a303b", "bordercolor": "#808080", "font": {"color": "#e8eaf0"}}


NO_GROUND = "rgba(0,0,0,0)"
THEMES = {
    # Drawn once, and read on whatever page it is put, also after that changes its theme.
    "page": Theme(
        "plotly_white", NO_GROUND, "#808080", "#808080", "rgba(128,128,128,0.25)", "#4d84e0",
        ("#4d84e0", "#d9822b", "#22a37c"), "#1d9a67", "#e0554a",
    ),
    "light": Theme(
        "plotly_white", "#ffffff", "#1f2430", "#667085", "#e6e8ee", "#3b6fd4", ("#3b6fd4", "#d97706", "#0f9d76"),
        "#0a7d4f", "#c0362c",
    ),
    "dark": Theme(
        "plotly_dark", "#111418", "#e8eaf0", "#98a1b3", "#2a303b", "#6ea0ff", ("#6ea0ff", "#f2a65a", "#4fd1a5"),
        "#4fd1a5", "#ff7b72",
    ),
}  # fmt: skip


def theme_named(theme: str | None) -> str:
    """The theme, or without one that of the dashboard for which this process computes, else `page`. Raises
    InvalidParameter."""
    found = theme if theme is not None else os.environ.get(THEME_OF_DASHBOARD, "page")
    if found not in THEMES:
        raise InvalidParameter("theme", f"is `{found}`; there are {', '.join(f'`{one}`' for one in THEMES)}.")
    return found


def plain(text: str) -> str:
    """Data as text of a figure: plotly reads tags in it, and some signs would not be seen."""
    shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    return html.escape(shown, quote=False)


def label(text: str | None, most: int = 25) -> str:
    """A value as a short name; `(none)` where there is none. The middle of a long one is left out."""
    if text is None:
        return "(none)"
    shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    if len(shown) > most:
        half = (most - 1) // 2
        shown = f"{shown[: most - 1 - half]}…{shown[-half:]}"
    return html.escape(shown, quote=False)
