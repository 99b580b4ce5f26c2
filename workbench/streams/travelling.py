"""Components that are written in a notebook's cell, as source text that travels: a `%%bolts name` cell is the module
`workbench_bolts.name`, here and in every process that gets its text.

The standard library only: it travels to workers.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from workbench.contract.errors import InvalidParameter

__all__ = ["PACKAGE", "install", "kept", "module", "sources_of"]

PACKAGE = "workbench_bolts"
MOST = 1 << 20
"""Characters of a cell."""

_sources: dict[str, str] = {}


def module(name: str, source: str) -> ModuleType:
    """Makes the module `workbench_bolts.<name>` of a cell's text, in place of an older one. What its code raises is
    raised, and the older one stays."""
    if not name.isidentifier():
        raise InvalidParameter("name", f"of a %%bolts cell is {name!r}; it is a name as of a variable: %%bolts shop")
    if len(source) > MOST:
        raise InvalidParameter("cell", f"has {len(source):,} characters, and {MOST:,} are the most.")
    whole = f"{PACKAGE}.{name}"
    file = f"<%%bolts {name}>"
    code = compile(source, file, "exec")
    made = ModuleType(whole, f"The cell %%bolts {name}.")
    made.__file__ = file
    before = sys.modules.get(whole)
    package = _package()
    sys.modules[whole] = made
    lines = linecache.cache.get(file)
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)  # for tracebacks and inspect
    try:
        exec(code, made.__dict__)
    except BaseException:
        if before is not None:
            sys.modules[whole] = before
            if lines is not None:
                linecache.cache[file] = lines
        else:
            sys.modules.pop(whole, None)
        raise
    setattr(package, name, made)
    _sources[name] = source
    return made


def kept() -> dict[str, str]:
    """The text of each cell, by name."""
    return dict(_sources)


def sources_of(references: Iterable[str]) -> dict[str, str]:
    """The cells that these are in (`workbench_bolts.shop:Count`), and those before them, which they may import."""
    used = {reference.partition(":")[0].removeprefix(f"{PACKAGE}.") for reference in references}
    return kept() if used & _sources.keys() else {}


def install(sources: Mapping[str, str]) -> None:
    """Makes the modules, in that order."""
    for name, source in sources.items():
        module(name, source)


def _package() -> Any:
    found = sys.modules.get(PACKAGE)
    if found is None:
        found = sys.modules[PACKAGE] = ModuleType(PACKAGE, "The %%bolts cells of this process.")
        found.__path__ = []
    return found
