"""Every refusal of a broker or of the driver, as an error of the contract's tree: one table, here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workbench.contract.errors import (
    AuthenticationFailed,
    ConnectionLost,
    PositionLost,
    ProtocolError,
    QueryFailed,
    SourceTimeout,
    StatementRefused,
    UnknownTable,
    Unreachable,
    WorkbenchError,
)

__all__ = ["Faults", "Said"]

REMEDY = (
    "Follow the partition from the beginning (after=None), which gives all that the topic still has, and load what is "
    "missing from elsewhere; or keep messages longer (retention.ms)."
)
_PERMANENT = ("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "_SSL")


class Said:
    """What a client of librdkafka says of its connections, in its own thread: the last few sentences are kept."""

    def __init__(self) -> None:
        self._errors: deque[Any] = deque(maxlen=20)
        self.down = False
        """Whether no broker is reached."""

    def __call__(self, error: Any) -> None:
        self._errors.append(error)
        if error.name() == "_ALL_BROKERS_DOWN":
            self.down = True

    def heard(self) -> None:
        """A broker answered."""
        self.down = False

    def last(self, *names: str) -> Any:
        """The newest, or the newest of these names."""
        return next((one for one in reversed(self._errors) if not names or one.name() in names), None)

    @property
    def refusal(self) -> Any:
        """Something that does not become better by waiting."""
        return self.last(*_PERMANENT)

    def why(self) -> str:
        found = self.refusal or self.last("_TRANSPORT", "_RESOLVE") or self.last()
        return _plain(found.str()) if found is not None else "no broker answered in time"


class Faults:
    """Makes errors for one connection: `where` is host and port, `user` who logs in."""

    def __init__(self, connection: str, where: str, user: str, seconds: float, variable: str = "") -> None:
        self.connection, self.where, self.user = connection, where, user
        self.seconds, self.variable = seconds, variable

    @contextmanager
    def named(self, said: Said | None = None, table: str = "") -> Iterator[None]:
        """Errors of the driver inside become ours."""
        import confluent_kafka

        try:
            yield
        except confluent_kafka.KafkaException as error:
            raise self.of(error.args[0], said, table) from None

    def of(self, error: Any, said: Said | None = None, table: str = "") -> WorkbenchError:
        """`error` is the driver's KafkaError."""
        name, text, who = error.name(), _plain(error.str()), self.connection
        refusal = said.refusal if said is not None else None
        if refusal is not None and name in ("_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN", "_RESOLVE"):
            name, text = refusal.name(), _plain(refusal.str())
        if name in ("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED"):
            return AuthenticationFailed(self.user, self.where, text, who, self.variable)
        if name in ("TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED",
                    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"):  # fmt: skip
            return StatementRefused(
                "That", f"{text}; the user of this connection lacks the right in the cluster's ACLs"
            )
        if name in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION", "UNKNOWN_TOPIC_ID"):
            return UnknownTable(table or "topic")
        if name in ("OFFSET_OUT_OF_RANGE", "_AUTO_OFFSET_RESET"):
            return PositionLost(f"in {table}", REMEDY, who)
        if name in ("_TRANSPORT", "_ALL_BROKERS_DOWN", "_RESOLVE", "_SSL", "_TIMED_OUT", "REQUEST_TIMED_OUT",
                    "_TIMED_OUT_QUEUE"):  # fmt: skip
            return Unreachable(self.where, said.why() if said is not None else text, who)
        if name in ("_BAD_MSG", "_BAD_COMPRESSION", "_INVALID_TYPE"):
            return ProtocolError(f"{self.where} answers, but not as Kafka does: {text}.", who)
        if name in ("_MSG_TIMED_OUT",):
            return SourceTimeout("The write", self.seconds, who)
        return QueryFailed(text, name, "", who)

    def lost(self, said: Said) -> WorkbenchError:
        """No broker answers in the middle of the work."""
        refusal = said.refusal
        if refusal is not None:
            return self.of(refusal, said)
        return ConnectionLost(f"No broker of {self.where} answers any more: {said.why()}.", self.connection)


def _plain(text: str) -> str:
    """The driver's sentence, of a length that can be read."""
    return " ".join(str(text).split())[:400].rstrip(".")
