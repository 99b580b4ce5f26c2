"""The connectors that are installed, found by the entry point `workbench.connectors`. A broken one harms no other."""

from __future__ import annotations

import functools
import importlib.metadata
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from workbench.contract.connector import Manifest
from workbench.contract.errors import UnknownConnector, Unsupported, UrlRefused

__all__ = ["Problem", "by_path", "by_scheme", "manifest", "manifests", "problems", "refresh"]

GROUP = "workbench.connectors"
_lock = threading.RLock()


@dataclass(frozen=True)
class Problem:
    """A connector that is installed and cannot be used: its entry point, who brought it, and why."""

    name: str
    package: str
    why: str

    def __str__(self) -> str:
        return f"Connector `{self.name}` (package {self.package}) cannot be used: {self.why}"


def manifests() -> dict[str, Manifest]:
    """All that can be used, by name. What cannot is in `problems()`."""
    return {name: loaded for name in _points() if isinstance(loaded := _loaded(name), Manifest)}


def problems() -> list[Problem]:
    """Those that cannot be used, and pairs that claim the same URL scheme."""
    broken = [loaded for name in _points() if isinstance(loaded := _loaded(name), Problem)]
    claims: dict[str, list[str]] = {}
    for name, one in manifests().items():
        for scheme in one.schemes:
            claims.setdefault(scheme.lower(), []).append(name)
    for scheme, names in claims.items():
        broken.extend(
            Problem(name, _package(name), f"`{scheme}://` is also claimed by {_listed(n for n in names if n != name)}.")
            for name in names
            if len(names) > 1
        )
    return broken


def manifest(name: str) -> Manifest:
    """The connector of that name, loading no other. Raises UnknownConnector, or Unsupported when it is broken."""
    if name not in _points():
        raise UnknownConnector(name, _points(), "Is the package that brings it installed here?")
    loaded = _loaded(name)
    if isinstance(loaded, Problem):
        raise Unsupported(f"Connector `{name}`", "be used", f"Package {loaded.package}: {loaded.why}")
    return loaded


def by_scheme(scheme: str) -> Manifest:
    """The connector for a URL's scheme. Raises UrlRefused for a scheme that none, or more than one, claims."""
    known = manifests()
    claiming = [name for name, one in known.items() if scheme in (claimed.lower() for claimed in one.schemes)]
    if len(claiming) == 1:
        return known[claiming[0]]
    if claiming:
        both = _listed(f"{name} (package {_package(name)})" for name in claiming)
        raise UrlRefused(f"the scheme `{scheme}`", f"{both} both claim it; uninstall one, or say connector=…")
    schemes = sorted({claimed.lower() for one in known.values() for claimed in one.schemes})
    raise UrlRefused(
        f"the scheme `{scheme}`",
        f"known are {_listed(schemes) or 'none'}. A file or a folder is connected with path=….",
    )


def by_path(name: str, folder: bool) -> Manifest:
    """The connector for a file's name, by its longest suffix, or for a folder. Raises UrlRefused as `by_scheme`."""
    known = manifests()
    if folder:
        claiming = [key for key, one in known.items() if one.folders]
        what = "a folder"
    else:
        ends = {
            key: max((len(suffix) for suffix in one.suffixes if name.lower().endswith(suffix.lower())), default=0)
            for key, one in known.items()
        }
        longest = max(ends.values(), default=0)
        claiming = [key for key, length in ends.items() if length == longest and length > 0]
        what = "this kind of file"
    if len(claiming) == 1:
        return known[claiming[0]]
    if claiming:
        raise UrlRefused("path", f"{_listed(claiming)} all read {what}; choose one with connector=….")
    suffixes = sorted({suffix for one in known.values() for suffix in one.suffixes})
    raise UrlRefused(
        "path", f"no connector reads {what}; known are files that end in {_listed(suffixes) or 'nothing'}."
    )


def refresh() -> None:
    """Looks again: packages were installed or removed."""
    with _lock:
        _points.cache_clear()
        _loaded.cache_clear()


@functools.cache
def _points() -> dict[str, tuple[importlib.metadata.EntryPoint, ...]]:
    found: dict[str, dict[str, importlib.metadata.EntryPoint]] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        # One package seen twice on the path (an editable install and its wheel) has the same value: no conflict.
        found.setdefault(point.name, {}).setdefault(point.value, point)
    return {name: tuple(by_value.values()) for name, by_value in sorted(found.items())}


@functools.cache
def _loaded(name: str) -> Manifest | Problem:
    with _lock:
        points = _points()[name]
        if len(points) > 1:
            packages = _listed(point.dist.name if point.dist else point.value for point in points)
            return Problem(name, packages, "several packages bring a connector of this name; uninstall all but one.")
        try:
            value = points[0].load()
        except Exception as error:  # noqa: BLE001 - somebody else's module may raise anything, and harms only itself
            return Problem(name, _package(name), f"{type(error).__name__}: {error}")
        if not isinstance(value, Manifest):
            return Problem(name, _package(name), f"{points[0].value} is not a Manifest.")
        if value.name != name:
            return Problem(name, _package(name), f"its manifest is called `{value.name}`, its entry point `{name}`.")
        return value


def _package(name: str) -> str:
    point = _points()[name][0]
    return point.dist.name if point.dist else point.module


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
