"""Secrets are found where they were kept, and nowhere else."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import logging
import pickle
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import keyring.backend
import keyring.core
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from workbench.catalog import Catalog, Connection, Connections
from workbench.catalog.secrets import Secrets, prompt
from workbench.contract.errors import DocumentError, InvalidParameter, SecretMissing, WorkbenchError
from workbench.contract.secret import Secret

URL = "toy://u@h/d"


class Ring(keyring.backend.KeyringBackend):
    """A keyring in memory; `mood` is how it fails."""

    priority = 5  # type: ignore[assignment]

    def __init__(self, mood: str = "") -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.mood = mood
        self.calls = 0
        self.gate = threading.Event()

    def _act(self, shown: object = None) -> None:
        self.calls += 1
        if self.mood == "raises":
            raise RuntimeError(f"cannot store {shown}")
        if self.mood == "hangs":
            self.gate.wait()

    def set_password(self, service: str, username: str, password: str) -> None:
        self._act(password)
        if self.mood != "forgets":
            self.kept[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        self._act()
        return self.kept.get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        self._act()
        del self.kept[service, username]


@pytest.fixture
def ring(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ring]:
    made = Ring()
    monkeypatch.setattr(keyring.core, "_keyring_backend", made)
    yield made
    made.gate.set()


def files(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_in_the_keyring(catalog: Catalog, ring: Ring) -> None:
    saved = catalog.connect("shop", URL)
    assert saved.secrets["password"].startswith("keyring:")
    assert list(ring.kept.values()) == ["typed at the prompt"]
    assert Catalog(catalog.home).config("shop").secrets["password"] == Secret("typed at the prompt")
    assert "keyring" in repr(saved)
    catalog.connect("shop", "toy://u@elsewhere/d", secret=Secret("second"))
    assert list(ring.kept.values()) == ["second"], "the first is forgotten"
    catalog.remove("shop")
    assert not ring.kept
    assert not list((catalog.home / "secrets").glob("*"))


@pytest.mark.parametrize("mood", ["raises", "hangs", "forgets"])
def test_a_dead_keyring_leads_to_a_private_file(catalog: Catalog, ring: Ring, mood: str) -> None:
    ring.mood = mood
    catalog.secrets._patience = 0.2
    saved = catalog.connect("shop", URL)
    (file,) = (catalog.home / "secrets").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.read_text() == "typed at the prompt"
    assert saved.secrets == {"password": f"file:{file.name}"}
    assert any("keyring cannot be used" in note for note in saved.notes)
    calls = ring.calls
    catalog.connect("other", URL)
    assert ring.calls == calls, "it is not asked again"
    assert catalog.config("shop").secrets["password"].reveal() == "typed at the prompt"
    catalog.remove("shop")
    assert not file.exists()


@pytest.mark.parametrize("backend", ["keyring.backends.fail.Keyring", "keyring.backends.null.Keyring", "no.such.Thing"])
def test_no_keyring_is_noticed(catalog: Catalog, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", backend)
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    assert catalog.secrets.keyring_fault()
    assert catalog.connect("shop", URL).secrets["password"].startswith("file:")


def test_a_secret_that_is_gone(catalog: Catalog, ring: Ring) -> None:
    catalog.connect("shop", URL)
    ring.kept.clear()
    with pytest.raises(SecretMissing, match="Connect again"):
        catalog.config("shop")
    ring.mood = "raises"
    with pytest.raises(SecretMissing, match=r"keyring failed.*Connect again") as caught:
        Catalog(catalog.home).config("shop")
    assert caught.value.__context__ is None


def test_from_the_environment(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = catalog.connect("shop", URL, secret="env:SHOP_PASSWORD")
    assert saved.secrets == {"password": "env:SHOP_PASSWORD"}
    with pytest.raises(SecretMissing, match="SHOP_PASSWORD"):
        catalog.config("shop")
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2")
    assert catalog.config("shop").secrets["password"].reveal() == "hunter2"
    assert not (catalog.home / "secrets").exists()


@pytest.mark.parametrize("text", ["hunter2", "env:", "env:a b", "env:hunter2!", "ENV:X", "", "keyring:x", "file:../x"])
def test_plain_text_is_refused(catalog: Catalog, text: str) -> None:
    with pytest.raises(InvalidParameter, match="env:NAME") as caught:
        catalog.connect("shop", URL, secret=text)
    assert "hunter2" not in str(caught.value)
    assert catalog.names() == []


def test_several_secrets(catalog: Catalog) -> None:
    both = {"password": Secret("one"), "passphrase": Secret("two")}
    catalog.connect("shop", URL, secret=both)
    assert {key: one.reveal() for key, one in catalog.config("shop").secrets.items()} == {
        "password": "one",
        "passphrase": "two",
    }
    with pytest.raises(InvalidParameter, match="no part"):
        catalog.connect("shop", URL, secret={"pin": Secret("hunter2")})
    with pytest.raises(InvalidParameter, match="is a secret"):
        catalog.connect("shop", URL, parameters={"password": "hunter2"})
    with pytest.raises(InvalidParameter):
        catalog.connect("shop", URL, secret=Secret("\ud800"))


def test_the_same_server_keeps_its_secret(catalog: Catalog) -> None:
    asked = []
    catalog._ask = lambda question: asked.append(question) or Secret("one")  # type: ignore[func-returns-value]
    first = catalog.connect("shop", URL)
    again = catalog.connect("shop", "toy://u@h/another", writable=True)
    assert again.secrets == first.secrets
    assert len(asked) == 1
    assert asked == ["Password for u@h/d: "]
    assert any("Replaces" in note for note in again.notes)
    assert catalog.connect("shop", "toy://u@evil/d").secrets != first.secrets, "another host never gets it"
    assert len(asked) == 2
    catalog.connect("shop", "toy://u@evil/d", secret="ask")
    assert len(asked) == 3
    assert len(list((catalog.home / "secrets").iterdir())) == 1


def test_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(question: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", nobody)
    with pytest.raises(SecretMissing, match="env:NAME"):
        prompt("Password: ")


@pytest.mark.parametrize("reference", ["", "file:../../etc/passwd", "file:/etc/passwd", "keyring:", "env:", "x:y"])
def test_references_are_checked(catalog: Catalog, reference: str) -> None:
    with pytest.raises(SecretMissing):
        catalog.secrets.find(reference)
    catalog.secrets.forget(reference)


def test_a_disk_that_is_full_shows_no_secret(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    (catalog.home / "secrets").mkdir(parents=True)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workbench.documents.private.os.fsync", full)
    with pytest.raises(WorkbenchError, match="No space left") as caught:
        catalog.connect("shop", URL, secret=Secret("hunter2"))
    assert caught.value.__context__ is None
    assert not list((catalog.home / "secrets").iterdir())


def test_a_connection_that_cannot_be_saved_leaves_no_secret_behind(
    catalog: Catalog, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.connect("shop", URL, secret=Secret("first"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workbench.documents.private.os.fsync", full)
    for name in ("shop", "other"):
        with pytest.raises(DocumentError, match="cannot be saved: No space left"):
            catalog.connect(name, URL, secret=Secret("hunter2"))
    assert list(ring.kept.values()) == ["first"]
    assert catalog.config("shop").secrets["password"] == Secret("first")


canaries = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=6, max_size=24).filter(
    lambda text: text.strip() == text and not text.isdigit()
)


def spellings(secret: str) -> set[str]:
    data = secret.encode()
    return {
        secret, quote(secret), quote(secret, safe=""), repr(secret)[1:-1], json.dumps(secret)[1:-1],
        base64.b64encode(data).decode().rstrip("="), base64.urlsafe_b64encode(data).decode().rstrip("="), data.hex(),
    }  # fmt: skip


def everything_shown(catalog: Catalog, secret: str) -> Iterator[str]:
    """What people, logs and files get to see on the ways a secret goes."""
    for attempt in (
        {"url": f"toy://u:{quote(secret, safe='')}@h/d"},
        {"url": f"toy://u:{secret}@h/d"},
        {"url": URL, "secret": secret},
        {"url": URL, "parameters": {"password": secret}},
        {"url": URL, "parameters": {"tls": secret}},
        {"url": f"toy://h/d?password={quote(secret, safe='')}"},
        {"url": URL, "secret": {"password": secret}},
        {"url": URL, "secret": Secret(secret), "tables": {"x": {"format": 7}}},
    ):
        yield from _verbose(lambda attempt=attempt: catalog.connect("shop", **attempt))  # type: ignore[misc]
    saved = catalog.connect("shop", "toy://u@h/broken", secret=Secret(secret))
    config = catalog.config("shop")
    yield from (repr(saved), str(saved), repr(config), f"{config}", repr(config.secrets), repr(catalog.__dict__))
    listing = Connections(catalog)
    yield from (repr(listing), listing._repr_html_(), repr(Connection(catalog, "shop")))
    yield from _verbose(lambda: catalog.test("shop"))
    yield from _verbose(lambda: catalog.resolve(("shop", "ordrs")))
    yield pickle.dumps(saved).decode("latin-1")
    for encode in (json.dumps, pickle.dumps):
        yield from _verbose(lambda encode=encode: encode(config.secrets["password"]))  # type: ignore[misc]
    with contextlib.redirect_stderr(io.StringIO()) as err:
        logging.getLogger("hostile").warning("%s %r %s", config, config.secrets, saved)
    yield err.getvalue()
    for name, data in files(catalog.home).items():
        yield name
        if not name.startswith("secrets/"):
            yield data.decode()


def _verbose(call: Any) -> Iterator[str]:
    """What IPython's `%xmode Verbose` prints of our frames: the error and all variables."""
    from IPython.core.ultratb import VerboseTB

    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not show the secret
        tb = error.__traceback__
        while tb is not None and "/workbench/" not in tb.tb_frame.f_code.co_filename and tb.tb_next is not None:
            tb = tb.tb_next  # the frames of this test hold the secret openly, as the user's own cell would
        yield str(VerboseTB(theme_name="nocolor").text(type(error), error, tb))
        yield repr(error)
    else:
        raise AssertionError("that should have been refused")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=12)
@given(secret=canaries)
def test_a_canary_is_seen_nowhere(catalog: Catalog, secret: str) -> None:
    secret = "kAnArY" + secret
    for shown in everything_shown(catalog, secret):
        for form in spellings(secret):
            assert form not in shown, shown
    kept = [data for name, data in files(catalog.home).items() if name.startswith("secrets/")]
    assert kept == [secret.encode()]
    catalog.remove("shop")


def test_secrets_alone(tmp_path: Path, home: Path) -> None:
    kept = Secrets(tmp_path / "s")
    reference = kept.keep("shop", "password", Secret("a\0b\r\n"))
    assert kept.find(reference).reveal() == "a\0b\r\n"


@pytest.mark.parametrize(
    "how",
    [
        {"url": "toy://u:k4n4ry@h/d"},
        {"url": "toy://u@h/d", "secret": "k4n4ry"},
        {"url": "toy://u@h/d", "password": "k4n4ry"},
        {"url": "toy://u@h/d", "tls": "k4n4ry"},
        {"url": "toy://u@h/d", "secret": {"password": "k4n4ry"}},
        {"path": "/nowhere", "password": "k4n4ry"},
    ],
)
def test_the_function_of_the_notebook_shows_nothing_either(
    home: Path, toy: None, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.query import session

    monkeypatch.setattr(session, "_default", None)
    for shown in _verbose(lambda: session.connect("shop", **how)):
        assert "k4n4ry" not in shown
    assert session.default().catalog.names() == []
    session.default().close()
