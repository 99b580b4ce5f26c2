"""The packages: those that are wanted, the native core, and files that stand in front of them."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench.cli.checks import Finding, State

__all__ = ["native_core", "packages", "shadows"]

DISTRIBUTION = "analytics-workbench"


def packages() -> Iterator[Finding]:
    """Python, our version, and whether each package that we need is there in a version that fits."""
    from packaging.requirements import Requirement

    import workbench

    where = Path(workbench.__file__).parent
    yield Finding("python", State.OK, f"{sys.version.split()[0]} ({sys.executable})")
    try:
        wanted = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding(
            "packages", State.FAULT, f"{where} is not installed, only found", "pip install -e . in the repository."
        )
        return
    wrong = []
    for text in wanted:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} is {found}, wanted is {requirement.specifier}")
    if wrong:
        yield Finding("packages", State.FAULT, "; ".join(wrong), f"pip install --upgrade {DISTRIBUTION}")
    else:
        yield Finding("packages", State.OK, f"{DISTRIBUTION} {workbench.__version__} in {where}")


def native_core() -> Iterator[Finding]:
    """The native library: there, and built from the sources that this package is of."""
    from workbench.contract.errors import NativeMissing
    from workbench.kit import native

    try:
        native.library()
    except NativeMissing as error:
        fault = f"{error.library} {error.why}"
    else:
        changed = _changed_since(native.path().with_name("BUILT_FROM"))
        fault = f"{native.path()} is older than {', '.join(changed)}" if changed else ""
    if fault:
        way_out = "Install a wheel, or run `make setup` in the repository; then start the kernels again."
        yield Finding("native core", State.FAULT, fault, way_out)
    else:
        yield Finding("native core", State.OK, str(native.path()))


def _changed_since(record: Path) -> list[str]:
    """In a checkout, sources that are not those that the build has recorded (lines of `sha256  path`)."""
    import hashlib

    root = record.parents[3]
    if not record.is_file() or not (root / "native" / "src").is_dir():
        return []
    built = {path: digest for digest, path in (line.split("  ", 1) for line in record.read_text().splitlines())}
    now = {path.relative_to(root).as_posix() for path in (root / "native" / "src").glob("*.rs")}
    differ = {path for path in now if path not in built}
    for path, digest in built.items():
        source = root / path
        if not source.is_file() or hashlib.sha256(source.read_bytes()).hexdigest() != digest:
            differ.add(path)
    return sorted(differ)


def shadows(folders: Sequence[Path] | None = None) -> Iterator[Finding]:
    """Files and folders that Python would import in place of a package: in the current folder, where notebooks and
    `python -m` look first, and on PYTHONPATH."""
    given = [Path(one) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    looked = list(dict.fromkeys(path.resolve() for path in (folders or [Path.cwd(), *given])))
    found = 0
    for folder in looked:
        for name in sorted(_modules(folder)):
            spec = importlib.machinery.PathFinder.find_spec(name, [str(folder)])
            if spec is None or spec.loader is None or spec.origin is None:
                continue  # a folder without __init__.py comes after every real package
            if name in sys.stdlib_module_names:
                real = "a module of Python itself"
            else:
                others = [one for one in sys.path if one and Path(one).resolve() != folder]
                behind = importlib.machinery.PathFinder.find_spec(name, others)
                if (
                    behind is None
                    or behind.origin is None
                    or _same(behind.origin, spec.origin)
                    or _ours(name, spec.origin)
                ):
                    continue
                real = behind.origin
            found += 1
            yield Finding(
                "imports",
                State.FAULT,
                f"{spec.origin} is imported as `{name}`, in place of {real}",
                "Rename it or move it elsewhere, and start the kernel again.",
            )
    if not found:
        yield Finding("imports", State.OK, f"nothing in {', '.join(map(str, looked))} hides a package")


def _modules(folder: Path) -> set[str]:
    """Names that are in the folder and that Python or a package that we stand on also has."""
    try:
        present = {path.name.partition(".")[0] for path in folder.iterdir()}
    except OSError:
        return set()
    return {name for name in present if name.isidentifier() and (name in sys.stdlib_module_names or name in _needed())}


def _needed() -> set[str]:
    points = importlib.metadata.entry_points(group="workbench.connectors")
    tops = {"workbench", *(point.module.partition(".")[0] for point in points)}
    for name, distributions in importlib.metadata.packages_distributions().items():
        if distributions and not name.startswith("_"):
            tops.add(name)
    return tops


def _same(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()


def _ours(name: str, origin: str) -> bool:
    """Whether it is the very module that runs here: in the repository itself nothing is hidden."""
    loaded = sys.modules.get(name)
    file = getattr(loaded, "__file__", None)
    return file is not None and _same(file, origin)
