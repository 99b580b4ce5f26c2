"""Components that are written in a notebook's cell, as source text that travels: a `%%bolts name` cell is the module
`workbench_bolts.name`, here and in every process that gets its text.

The standard library only: it travels to workers.
"""

from __future__ import annotations

import builtins
import dis
import importlib
import importlib.abc
import importlib.machinery
import keyword
import linecache
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import CodeType, ModuleType
from typing import Any

from workbench.contract.errors import InvalidParameter

__all__ = ["PACKAGE", "install", "kept", "module", "sources_of"]

PACKAGE = "workbench_bolts"
MOST = 1 << 20
"""Characters of a cell."""

_sources: dict[str, str] = {}


class _Cells(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the cells that are kept here, so that one can import another, in whichever order they came."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if package != PACKAGE or (name and name not in _sources):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin=_file(name), is_package=not name)

    def exec_module(self, module: ModuleType) -> None:
        _, _, name = module.__name__.partition(".")
        if name:
            source = _sources[name]
            module.__file__ = _file(name)
            _remember(name, source)
            exec(compile(source, _file(name), "exec"), module.__dict__)


_cells = _Cells()


def module(name: str, source: str, notebook: Collection[str] = ()) -> ModuleType:
    """Makes the module `workbench_bolts.<name>` of a cell's text, in place of an older one. What its code raises is
    raised, and the older one stays; so does it with InvalidParameter where a function in it uses a name of the
    `notebook` that the cell itself has not."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InvalidParameter("name", f"of a %%bolts cell is {name!r}; it is one as of a variable: %%bolts shop")
    if len(source) > MOST:
        raise InvalidParameter("cell", f"has {len(source):,} characters, and {MOST:,} are the most.")
    whole = f"{PACKAGE}.{name}"
    code = compile(source, _file(name), "exec")
    _find()
    package: Any = importlib.import_module(PACKAGE)
    before, text = sys.modules.get(whole), _sources.get(name)
    made = ModuleType(whole, f"The cell %%bolts {name}.")
    made.__file__ = _file(name)
    sys.modules[whole], _sources[name] = made, source
    _remember(name, source)
    try:
        exec(code, made.__dict__)
        _refuse_borrowed(name, code, made, notebook)
    except BaseException:
        _restore(sys.modules, whole, before)
        _restore(_sources, name, text)
        if text is not None:
            _remember(name, text)
        raise
    setattr(package, name, made)
    return made


def kept() -> dict[str, str]:
    """The text of each cell, by name."""
    return dict(_sources)


def sources_of(references: Iterable[str]) -> dict[str, str]:
    """The cells that `workbench_bolts.shop:Count` and the like need: all there are, for they may import each other."""
    used = {reference.partition(":")[0].removeprefix(f"{PACKAGE}.") for reference in references}
    return kept() if used & _sources.keys() else {}


def install(sources: Mapping[str, str]) -> None:
    """Makes them modules here, each when it is imported first."""
    _sources.update(sources)
    _find()


def _restore(known: dict[str, Any], name: str, before: Any) -> None:
    if before is None:
        known.pop(name, None)
    else:
        known[name] = before


def _find() -> None:
    if _cells not in sys.meta_path:
        sys.meta_path.append(_cells)


def _file(name: str) -> str:
    return f"<%%bolts {name}>"


def _remember(name: str, source: str) -> None:
    """For tracebacks and `inspect`."""
    linecache.cache[_file(name)] = (len(source), None, source.splitlines(True), _file(name))


def _refuse_borrowed(name: str, code: CodeType, made: ModuleType, notebook: Collection[str]) -> None:
    own = made.__dict__.keys() | vars(builtins).keys()
    for where, used in _globals_of(code):
        if used not in own and used in notebook:
            raise InvalidParameter(
                "cell",
                f"`%%bolts {name}`: `{where}` uses `{used}`, which is the notebook's. Other processes do not have it: "
                "define or import it in this cell, or give it to the component as an argument.",
            )


def _globals_of(code: CodeType) -> Iterator[tuple[str, str]]:
    """Functions in it, and the global names that they read."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            for step in dis.get_instructions(inner):
                if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                    yield inner.co_qualname, str(step.argval)
            yield from _globals_of(inner)
