"""Who may look: one secret that colleagues share, a token that is made or a password that the author chooses."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from pathlib import Path

from workbench.contract.errors import DocumentError, UsageError
from workbench.documents.private import private_folder, write_private

__all__ = ["Access"]

_SHORTEST = 8
_FORMS = ({"token"}, {"salt", "hash"})
_COST = {"n": 1 << 14, "r": 8, "p": 1, "maxmem": 64 << 20}


class Access:
    """Kept in `folder`, for the user alone. The token can be shown again, to send the link once more; a password is
    kept as a hash only."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "access.json"

    def token(self) -> str | None:
        """The token, made when there is neither one nor a password; None while a password holds."""
        kept = self._kept()
        if not kept:
            kept = {"token": secrets.token_urlsafe(24)}
            self._save(kept)
        return kept.get("token")

    def set_password(self, password: str) -> None:
        """In place of what was; who is logged in must log in again. Raises UsageError for a short one."""
        if len(password) < _SHORTEST:
            raise UsageError(f"A password for dashboards has {_SHORTEST} characters or more.")
        salt = secrets.token_bytes(16)
        self._save({"salt": salt.hex(), "hash": _hashed(password, salt).hex()})

    def renew(self) -> None:
        """A new token: the old links, and who is logged in by them, are out."""
        self._save({"token": secrets.token_urlsafe(24)})

    @property
    def guessable(self) -> bool:
        """Whether somebody chose it: a token of 32 letters is not found by trying."""
        return "hash" in self._kept()

    def fits(self, given: str) -> bool:
        kept = self._kept()
        if "hash" in kept:
            made = _hashed(given[:1000], bytes.fromhex(kept["salt"]))
            return hmac.compare_digest(made, bytes.fromhex(kept["hash"]))
        return bool(kept) and hmac.compare_digest(kept["token"].encode(), given.encode())

    def mark(self) -> str:
        """Says which secret holds without saying it: a log-in is good as long as this is the same."""
        return hashlib.sha256(json.dumps(self._kept(), sort_keys=True).encode()).hexdigest()[:16]

    def _kept(self) -> dict[str, str]:
        try:
            kept = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        except ValueError:
            kept = None
        if not isinstance(kept, dict) or not any(
            kept.keys() == names and all(isinstance(kept[name], str) for name in names) for names in _FORMS
        ):
            why = "is damaged, so nobody can look. `workbench dashboards --new-link` makes a new one in its place."
            raise DocumentError(str(self._file), why)
        return kept

    def _save(self, kept: dict[str, str]) -> None:
        private_folder(self._file.parent)
        write_private(self._file, json.dumps(kept).encode())


def _hashed(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, **_COST)
