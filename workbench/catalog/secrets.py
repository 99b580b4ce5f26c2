"""Where secrets are: the system's keyring, else a file of their own, or a variable of the environment.

Documents hold a reference, never the secret: `keyring:KEY`, `file:KEY` or `env:NAME`. Between the prompt and the
log-in a secret is a `Secret`; errors of a keyring are not passed on, for their text is not ours.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from workbench.catalog.bounded import TookTooLong, within
from workbench.contract.errors import DocumentError, InvalidParameter, SecretMissing, UsageError
from workbench.contract.secret import Secret
from workbench.documents.private import private_folder, write_private

__all__ = ["Hidden", "Secrets", "Typed", "environment_reference", "prompt", "shown", "typed"]

SERVICE = "analytics-workbench"
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,64}\.[0-9a-f]{12}")
_ENVIRONMENT = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]{0,127})")

T = TypeVar("T")


class Typed(Secret):
    """What was given as plain text where a secret is expected: `env:NAME` or `ask`; anything else is refused, and
    until then it may be a password."""

    __slots__ = ()


def typed(secret: str | Secret | Mapping[str, str | Secret] | None) -> Secret | Mapping[str, Secret] | None:
    """What was given for `secret=`, with every plain text wrapped."""
    if isinstance(secret, str):
        return Typed(secret)
    if isinstance(secret, Mapping):
        return {key: Typed(value) if isinstance(value, str) else value for key, value in secret.items()}
    return secret


class Hidden(Generic[T]):
    """A value that may hold a secret where none belongs; a traceback's variables show nothing of it."""

    __slots__ = ("__value",)

    def __init__(self, value: T) -> None:
        self.__value = value

    def value(self) -> T:
        return self.__value


class Secrets:
    """Keeps secrets and finds them again. A keyring that fails, or does not answer within `patience` seconds, is not
    asked again in this process; new secrets then go to files (0600) in `folder`."""

    def __init__(self, folder: Path, patience: float = 10.0) -> None:
        self._folder = folder
        self._patience = patience
        self._lock = threading.Lock()
        self._dead: str | None = None

    def keep(self, connection: str, name: str, secret: Secret) -> str:
        """Stores the secret and returns its reference."""
        key = f"{connection}.{name}.{secrets.token_hex(6)}"
        if self.keyring_fault() is None:
            try:
                self._ask(lambda ring: ring.set_password(SERVICE, key, secret.reveal()))
                if self._ask(lambda ring: ring.get_password(SERVICE, key) == secret.reveal()):
                    return f"keyring:{key}"
                self._mark_dead("it does not give back what it was given")
            except _KeyringFailed:
                pass  # `_ask` has noted why; the file is what is left
        self._write(key, name, secret)
        return f"file:{key}"

    def find(self, reference: str) -> Secret:
        """The secret. Raises SecretMissing with the way out."""
        kind, _, key = reference.partition(":")
        if kind == "env" and (match := _ENVIRONMENT.fullmatch(reference)):
            value = os.environ.get(match[1])
            if value is None:
                hint = f"Set the environment variable {match[1]} before the kernel or the command starts."
                raise SecretMissing(reference, hint)
            return Secret(value, match[1])
        again = "Connect again, and type the password anew."
        if not _KEY.fullmatch(key) or kind not in ("keyring", "file"):
            raise SecretMissing("an unreadable reference", again)
        if kind == "file":
            try:
                return Secret((self._folder / key).read_bytes().decode())
            except (OSError, UnicodeDecodeError):
                raise SecretMissing(reference, again) from None
        try:
            found = self._ask(lambda ring: _wrapped(ring.get_password(SERVICE, key)))
        except _KeyringFailed as failed:
            why = failed.why
        else:
            if found is not None:
                return found
            why = ""
        raise SecretMissing(reference, (f"The keyring failed ({why}). " if why else "") + again)

    def forget(self, reference: str) -> None:
        """Removes the secret where we keep it; what is gone already, or out of reach, is not an error."""
        kind, _, key = reference.partition(":")
        if not _KEY.fullmatch(key):
            return
        if kind == "file":
            (self._folder / key).unlink(missing_ok=True)
        elif kind == "keyring" and self.keyring_fault() is None:
            try:
                self._ask(lambda ring: ring.delete_password(SERVICE, key))
            except _KeyringFailed:
                return

    def keyring_fault(self) -> str | None:
        """Why the system's keyring cannot be used here; None when it can, as far as is known without a try."""
        with self._lock:
            if self._dead is None:
                self._dead = self._look()
            return self._dead or None

    def try_keyring(self) -> str | None:
        """Stores, reads and removes a worthless entry: why that failed, or None."""
        fault = self.keyring_fault()
        if fault is not None:
            return fault
        key = f"doctor.try.{secrets.token_hex(6)}"
        try:
            self._ask(lambda ring: ring.set_password(SERVICE, key, "worthless"))
            if not self._ask(lambda ring: ring.get_password(SERVICE, key) == "worthless"):
                self._mark_dead("it does not give back what it was given")
            self._ask(lambda ring: ring.delete_password(SERVICE, key))
        except _KeyringFailed as failed:
            return failed.why
        return self.keyring_fault()

    def _write(self, key: str, name: str, secret: Secret) -> None:
        # The error is raised when the frames that hold the text are gone.
        failed: UsageError
        try:
            write_private(private_folder(self._folder) / key, secret.reveal().encode())
            return
        except UnicodeEncodeError:
            failed = InvalidParameter(name, "holds a character that has no UTF-8 form.")
        except OSError as error:
            failed = DocumentError("of the secret", f"cannot be written in {self._folder}: {error.strerror}.")
        raise failed

    def _look(self) -> str:
        try:
            ring = within(self._patience, _keyring)
        except TookTooLong:
            return f"it did not answer within {self._patience:g} s"
        except Exception as error:  # noqa: BLE001 - a plug-in of the keyring package may raise anything
            return f"it cannot be loaded ({type(error).__name__})"
        return "" if ring.priority > 0 else f"there is none ({type(ring).__module__})"

    def _ask(self, call: Callable[[Any], T]) -> T:
        if self._dead:
            raise _KeyringFailed(self._dead)
        why = ""
        try:
            return within(self._patience, lambda: call(_keyring()))
        except TookTooLong:
            why = f"it did not answer within {self._patience:g} s"
        except Exception as error:  # noqa: BLE001 - its text is not ours and might hold the secret
            why = f"{type(error).__name__}"
        self._mark_dead(why)
        raise _KeyringFailed(why)

    def _mark_dead(self, why: str) -> None:
        with self._lock:
            self._dead = why


class _KeyringFailed(Exception):
    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


def environment_reference(text: Typed) -> str:
    """The text as an `env:NAME` reference. Raises InvalidParameter, without the text."""
    if not _ENVIRONMENT.fullmatch(text.reveal()):
        why = (
            "is refused as plain text, for a notebook's history keeps what was typed. Leave it out and you are asked "
            'for it, or write secret="env:NAME", or pass a Secret.'
        )
        raise InvalidParameter("secret", why)
    return text.reveal()


def prompt(question: str) -> Secret:
    """Asks at the terminal or in the notebook, without echo. Raises SecretMissing when there is nobody to ask."""
    import getpass
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return Secret(getpass.getpass(question))
    except (EOFError, OSError, getpass.GetPassWarning):
        pass
    except Exception as error:
        if type(error).__name__ != "StdinNotImplementedError":  # ipykernel's, which need not be installed here
            raise
    raise SecretMissing("the prompt", 'Nobody can be asked here: give secret="env:NAME" and set that variable.')


def shown(reference: str) -> str:
    """Where the secret is, for people."""
    kind, _, rest = reference.partition(":")
    return {"keyring": "in the system's keyring", "file": "in a file of its own"}.get(kind, f"from ${rest}")


def _keyring() -> Any:
    import keyring

    return keyring.get_keyring()


def _wrapped(value: str | None) -> Secret | None:
    return None if value is None else Secret(value)
