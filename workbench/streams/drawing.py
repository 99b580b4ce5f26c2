"""A topology drawn before it runs: words, and a picture in SVG whose colours are those of the page."""

from __future__ import annotations

import html
from collections.abc import Mapping

from workbench.contract.errors import TopologyError
from workbench.streams.component import DEFAULT
from workbench.streams.guarantees import EFFECTIVELY
from workbench.streams.topology import Input, Node, Topology

__all__ = ["described", "svg"]

_BOX_W, _BOX_H, _GAP_X, _GAP_Y, _EDGE = 150, 44, 150, 26, 12


def described(topology: Topology) -> str:
    lines = [f"topology {topology.name}"]
    for node in topology.nodes.values():
        tasks = f"{node.parallelism} task{'s' if node.parallelism > 1 else ''}"
        gives = "; ".join(
            f"{'' if stream == DEFAULT else stream + ': '}{', '.join(fields)}"
            for stream, fields in node.outputs.items()
        )
        takes = ", ".join(f"{_stream(one)} by {one.grouping}" for one in node.inputs)
        parts = [
            f"{node.kind} {node.id}",
            tasks,
            f"takes {takes}" if takes else "",
            f"in {node.window}" if node.window else "",
            f"gives {gives}" if gives else "",
        ]
        lines.append(f"  {', '.join(part for part in parts if part)}")
    lines += [f"  {name} is {promised}" for name, promised in _promises(topology).items()]
    return "\n".join(lines)


def _promises(topology: Topology) -> dict[str, str]:
    """What its ends may claim, at their best: in a run with state."""
    try:
        found = topology.guarantees()
    except TopologyError:  # it is drawn all the same
        return {}
    best = "effectively once in a run with state=, else at least once"
    return {name: best if one.claim == EFFECTIVELY else str(one) for name, one in found.items()}


def _stream(one: Input) -> str:
    return one.component if one.stream == DEFAULT else f"{one.component}.{one.stream}"


def svg(topology: Topology) -> str:
    """Columns by how far a component is from the spouts; who is not connected rightly is drawn all the same."""
    places = _places(topology)
    width = max((x for x, _ in places.values()), default=0) + _BOX_W + _EDGE
    height = max((y for _, y in places.values()), default=0) + _BOX_H + _EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="topology {html.escape(topology.name)}" font-family="sans-serif" font-size="12" '
        'fill="currentColor" stroke="currentColor" stroke-width="0">'
    ]
    for node in topology.nodes.values():
        parts += [_arrow(places[one.component], places[node.id]) for one in node.inputs if one.component in places]
    for node in topology.nodes.values():  # above all arrows, for they cross
        parts += [_label(places[one.component], places[node.id], one) for one in node.inputs if one.component in places]
    promises = _promises(topology)
    parts += [_box(node, *places[node.id], promises.get(node.id, "")) for node in topology.nodes.values()]
    return "".join([*parts, "</svg>"])


def _places(topology: Topology) -> Mapping[str, tuple[int, int]]:
    depth = dict.fromkeys(topology.nodes, 0)
    for _ in topology.nodes:  # as often as a path can be long; a cycle ends here, too
        known = dict(depth)
        for node in topology.nodes.values():
            before = [depth[one.component] for one in node.inputs if one.component in depth]
            depth[node.id] = min(max(before, default=-1) + 1, len(depth) - 1)
        if depth == known:
            break
    rows: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for id, column in depth.items():  # noqa: A001
        row = rows[column] = rows.get(column, -1) + 1
        places[id] = (_EDGE + column * (_BOX_W + _GAP_X), _EDGE + row * (_BOX_H + _GAP_Y))
    return places


def _box(node: Node, x: int, y: int, promise: str) -> str:
    rounding = _BOX_H // 2 if node.kind == "spout" else 4
    count = f" ×{node.parallelism}" if node.parallelism > 1 else ""
    said = f"\n{promise}" if promise else ""
    title = html.escape(f"{node.kind} {node.id}{count}: {type(node.component).__name__}{said}")
    badge = (
        f'<text x="{x + _BOX_W // 2}" y="{y + _BOX_H + 11}" text-anchor="middle" font-size="9" opacity="0.8">'
        f"{html.escape(' '.join(promise.partition(':')[0].split()[:3]))}</text>"
        if promise
        else ""
    )
    return (
        f'<g><title>{title}</title><rect x="{x}" y="{y}" width="{_BOX_W}" height="{_BOX_H}" rx="{rounding}" '
        f'fill="none" stroke-width="1.5"/><text x="{x + _BOX_W // 2}" y="{y + 19}" text-anchor="middle" '
        f'font-weight="bold">{html.escape(_short(node.id, 18))}{count}</text>'
        f'<text x="{x + _BOX_W // 2}" y="{y + 35}" text-anchor="middle" font-size="10" opacity="0.7">'
        f"{html.escape(_short(', '.join(node.outputs.get(DEFAULT, ())), 24))}</text>{badge}</g>"
    )


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1, x2, y2 = start[0] + _BOX_W, start[1] + _BOX_H // 2, end[0], end[1] + _BOX_H // 2
    bend = (x1 + x2) // 2
    return (
        f'<path d="M{x1},{y1} C{bend},{y1} {bend},{y2} {x2 - 7},{y2}" fill="none" stroke-width="1.2" opacity="0.6"/>'
        f'<path d="M{x2 - 8},{y2 - 4} L{x2},{y2} L{x2 - 8},{y2 + 4} Z" opacity="0.6"/>'
    )


def _label(start: tuple[int, int], end: tuple[int, int], one: Input) -> str:
    """In the page's own colour around it, so that it is read where it lies on an arrow."""
    x, y = (start[0] + _BOX_W + end[0]) // 2, (start[1] + end[1] + _BOX_H) // 2 - 5
    label = f"{'' if one.stream == DEFAULT else one.stream + ' '}{one.grouping}"
    around = "paint-order:stroke;stroke:var(--jp-layout-color0,Canvas);stroke-width:4px"
    return (
        f'<text x="{x}" y="{y}" text-anchor="middle" font-size="10" style="{around}">'
        f"{html.escape(_short(label, 24))}</text>"
    )


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
