"""From what somebody typed to a connection that can be saved. Nothing is stored before everything was checked."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.catalog import connectors
from workbench.catalog.parameters import known, public, secret_names, validate
from workbench.catalog.saved import Saved
from workbench.catalog.secrets import Hidden, Typed, environment_reference
from workbench.catalog.url import bare, check_host, host_name, parse
from workbench.contract.connector import Manifest
from workbench.contract.errors import DocumentError, InvalidParameter, UnknownConnection, UrlRefused, UsageError
from workbench.contract.secret import Secret

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog

__all__ = ["Wish", "check_name", "identity", "make"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_RESERVED = frozenset({"main", "temp", "system", "pg_catalog", "information_schema"})
_IDENTITY = ("host", "port", "user", "path", "webhdfs", "datanodes")


@dataclass(frozen=True)
class Wish:
    """What was asked of `Catalog.connect`. What may hold a secret where none belongs is hidden."""

    name: str
    url: Secret | None
    path: str | Path | None
    secret: Secret | Mapping[str, Any] | None
    writable: bool
    tables: Mapping[str, Mapping[str, Any]]
    parameters: Hidden[Mapping[str, Any]]
    connector: str | None


def make(catalog: Catalog, wish: Wish, ask: Callable[[str], Secret]) -> Saved:
    """See `Catalog.connect`. An error that the caller can mend comes without the frames in which the parts were
    variables."""
    try:
        return _make(catalog, wish, ask)
    except UsageError as error:
        refused = bare(error)
    raise refused


def _make(catalog: Catalog, wish: Wish, ask: Callable[[str], Secret]) -> Saved:
    name = wish.name
    check_name(name, catalog.names())
    parameters = dict(wish.parameters.value())
    if wish.url is None and wish.path is None and isinstance(parameters.get("path"), str):
        wish = replace(wish, path=parameters.pop("path"))  # however it is given, a path is looked at
    manifest, given = _source(wish)
    given = _merged(manifest, given, parameters)
    _check_place(wish, manifest, given)
    validate(f"the parameters of {manifest.label}", given, manifest.parameters)
    if isinstance(host := given.get("host"), str):
        given["host"] = host_name(host)
        check_host(host)
    for table, settings in wish.tables.items():
        validate(f"the settings of table `{table}`", settings, manifest.table_parameters)
    notes: list[str] = []
    before = _before(catalog, name)
    if before is not None:
        notes.append(f"Replaces the connection of this name ({before.connector}, {before.where}).")
    tables = {key: dict(one) for key, one in wish.tables.items()}
    saved = Saved(name, manifest.name, given, {}, bool(wish.writable), tables)
    references = _references(catalog, saved, manifest, wish.secret, before, ask, notes)
    return replace(saved, secrets=references, notes=tuple(notes))


def check_name(name: str, names: list[str]) -> None:
    """Raises InvalidParameter for what cannot stand before the dot in SQL."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        why = "of a connection must be a letter or `_`, then up to 62 letters, digits or `_`: it is written in SQL."
        raise InvalidParameter("name", why)
    if name.lower() in _RESERVED:
        raise InvalidParameter("name", f"cannot be `{name}`: that is a schema of the SQL engine itself.")
    for other in names:
        if other != name and other.casefold() == name.casefold():
            raise InvalidParameter("name", f"differs from the connection `{other}` only in its letters' case.")


def _source(wish: Wish) -> tuple[Manifest, dict[str, Any]]:
    chosen = connectors.manifest(wish.connector) if wish.connector is not None else None
    if wish.url is not None and wish.path is not None:
        raise InvalidParameter("url", "and `path` exclude each other.")
    if wish.url is not None:
        parsed = parse(wish.url, _choose(chosen))
        return parsed.manifest, dict(parsed.parameters)
    if wish.path is not None:
        return _path(wish.path, chosen)
    if chosen is None:
        raise InvalidParameter("url", "is missing: give a URL, or path= for a file or folder, or connector=.")
    return chosen, {}


def _check_place(wish: Wish, manifest: Manifest, given: Mapping[str, Any]) -> None:
    """A URL that leads nowhere is told what it lacks."""
    properties, required = manifest.parameters.get("properties", {}), manifest.parameters.get("required", ())
    if wish.url is None or "host" not in required or "host" in given:
        return
    scheme = manifest.schemes[0]
    lacks = "the host and the database" if "database" in properties and "database" not in given else "the host"
    end = "/shop" if "database" in properties else ""
    raise UrlRefused("its form", f"it lacks {lacks}: write {scheme}://user@db.example.org{end} with your own names.")


def _choose(chosen: Manifest | None) -> Callable[[str], Manifest]:
    def by_scheme(scheme: str) -> Manifest:
        if chosen is None:
            return connectors.by_scheme(scheme)
        if scheme not in (one.lower() for one in chosen.schemes):
            why = f"{chosen.label} has {known(chosen.schemes)}."
            raise UrlRefused(f"the scheme `{scheme}`", why)
        return chosen

    return by_scheme


def _path(path: str | Path, chosen: Manifest | None) -> tuple[Manifest, dict[str, Any]]:
    text = os.fspath(path)
    if not isinstance(text, str) or "\0" in text or re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
        raise InvalidParameter("path", "must be the path of a file or a folder on this machine.")
    whole = Path(text).expanduser().absolute()
    pattern = any(letter in text for letter in "*?[") and not whole.exists()
    if not pattern and not whole.exists() and not whole.parent.is_dir():
        raise InvalidParameter("path", f"is not there: {whole}.")
    manifest = chosen or connectors.by_path(whole.name, whole.is_dir())
    if "path" not in manifest.parameters.get("properties", {}):
        raise InvalidParameter("path", f"is not a parameter of {manifest.label}: {known(public(manifest))}.")
    return manifest, {"path": str(whole)}


def _merged(manifest: Manifest, given: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in parameters.items():
        if name in secret_names(manifest) or isinstance(value, Secret):
            raise InvalidParameter(name, 'is a secret: it is asked for, or given as secret=Secret(…) or "env:NAME".')
        if name in given:
            raise InvalidParameter(name, "is given twice.")
    return {**given, **parameters}


def _before(catalog: Catalog, name: str) -> Saved | None:
    try:
        return catalog.saved(name)
    except (UnknownConnection, DocumentError):
        return None


def _references(
    catalog: Catalog,
    saved: Saved,
    manifest: Manifest,
    secret: Secret | Mapping[str, Any] | None,
    before: Saved | None,
    ask: Callable[[str], Secret],
    notes: list[str],
) -> dict[str, str]:
    names = secret_names(manifest)
    wanted = _wanted(names, secret, manifest)
    if not names:
        return {}
    same = before is not None and before.connector == saved.connector and identity(before) == identity(saved)
    references: dict[str, str] = {}
    for number, name in enumerate(names):
        given = wanted.get(name)
        asked = isinstance(given, Typed) and given.reveal() == "ask"
        if isinstance(given, Typed) and not asked:
            references[name] = environment_reference(given)
        elif given is not None and not asked:
            references[name] = catalog.secrets.keep(saved.name, name, given)
        elif same and before is not None and name in before.secrets and not asked:
            references[name] = before.secrets[name]
            notes.append(f'Keeps the {name} that was given before; secret="ask" asks for it again.')
        elif asked or (number == 0 and _is_meant(name, saved, manifest)):
            typed = ask(f"{name.capitalize()} for {saved.where}: ")
            if typed:
                references[name] = catalog.secrets.keep(saved.name, name, typed)
    fault = catalog.secrets.keyring_fault() if any(one.startswith("file:") for one in references.values()) else None
    if fault:
        notes.append(
            f"The secret is in a file that only you can read, for the system's keyring cannot be used: {fault}."
        )
    return references


def _is_meant(name: str, saved: Saved, manifest: Manifest) -> bool:
    """Whether all is there that the secret is of no use without, as a password without a user."""
    needed = manifest.parameters.get("dependentRequired", {}).get(name, ())
    return all(saved.parameters.get(one) for one in needed)


def _wanted(names: list[str], secret: Secret | Mapping[str, Any] | None, manifest: Manifest) -> dict[str, Secret]:
    if secret is None:
        return {}
    if not names:
        raise InvalidParameter("secret", f"is not needed: {manifest.label} has none.")
    wanted = {names[0]: secret} if isinstance(secret, Secret) else dict(secret)
    for name, value in wanted.items():
        if name not in names:
            raise InvalidParameter("secret", f"has no part of that name: {known(names)}.")
        if not isinstance(value, Secret):
            raise InvalidParameter("secret", 'must be a Secret, "env:NAME" or "ask".')
    return wanted


def identity(saved: Saved) -> dict[str, Any]:
    """Where it goes and as whom: a secret is kept for just this."""
    return {key: saved.parameters.get(key) for key in _IDENTITY}
