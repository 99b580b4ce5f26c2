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

__all__ = ["NO_TOPIC", "PASSING", "Faults", "Said"]

REMEDY = (
    "Follow the partition from the beginning (after=None), which gives all that the topic still has, and load what is "
    "missing from elsewhere; or keep messages longer (retention.ms)."
)
NO_TOPIC = ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION", "UNKNOWN_TOPIC_ID")
_PERMANENT = ("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "_SSL")
_AWAY = ("_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN", "_RESOLVE", "_DESTROY_BROKER")
_CUT_OFF = ("transport failure", "timed out", "disconnected", "connection reset", "before request sent")
"""The driver says `_AUTHENTICATION` of a broker, too, that went away while one logged in."""
PASSING = (*_AWAY, "LEADER_NOT_AVAILABLE", "NOT_LEADER_FOR_PARTITION", "BROKER_NOT_AVAILABLE", "REPLICA_NOT_AVAILABLE",
            "COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR", "NETWORK_EXCEPTION",
            "FENCED_LEADER_EPOCH", "UNKNOWN_LEADER_EPOCH", "KAFKA_STORAGE_ERROR", "NOT_ENOUGH_REPLICAS",
            "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "OFFSET_NOT_AVAILABLE", "CONCURRENT_TRANSACTIONS", "NOT_CONTROLLER",
            "UNSTABLE_OFFSET_COMMIT", "_WAIT_COORD")  # fmt: skip
"""Of a cluster in which a broker has just gone or come: another one takes its place soon."""


class Said:
    """What a client of librdkafka says of its connections, in its own thread: the last few sentences are kept."""

    def __init__(self) -> None:
        self._errors: deque[Any] = deque(maxlen=20)
        self.down = self.trouble = False
        """Whether no broker is reached; whether something went wrong with one of them, since one was heard of."""

    def __call__(self, error: Any) -> None:
        self._errors.append(error)
        self.trouble = True
        if error.name() == "_ALL_BROKERS_DOWN":
            self.down = True

    def heard(self) -> None:
        """The broker that is asked has answered: what was said before does not hold any more."""
        if self.trouble:
            self.down = self.trouble = False
            self._errors.clear()

    def last(self, *names: str) -> Any:
        """The newest, or the newest of these names."""
        return next((one for one in reversed(self._errors) if not names or one.name() in names), None)

    @property
    def refusal(self) -> Any:
        """Something that does not become better by waiting."""
        found = self.last(*_PERMANENT)
        return None if found is not None and _cut_off(found) else found

    def why(self) -> str:
        found = self.refusal or self.last("_TRANSPORT", "_RESOLVE", "_AUTHENTICATION") or self.last()
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

        # Where it can be found by who unpickles an error in whose context it stands, as Dask's processes do.
        confluent_kafka.KafkaException.__module__ = confluent_kafka.__name__
        try:
            yield
        except confluent_kafka.KafkaException as error:
            raise self.of(error.args[0], said, table) from None

    def of(self, error: Any, said: Said | None = None, table: str = "") -> WorkbenchError:
        """`error` is the driver's KafkaError."""
        name, text, who = error.name(), _plain(error.str()), self.connection
        refusal = said.refusal if said is not None else None
        if refusal is not None and name in _AWAY:
            name, text = refusal.name(), _plain(refusal.str())
        if name in ("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED") and not _cut_off(error):
            return AuthenticationFailed(self.user, self.where, text, who, self.variable)
        if name in ("TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED",
                    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"):  # fmt: skip
            return StatementRefused(
                "That", f"{text}; the user of this connection lacks the right in the cluster's ACLs"
            )
        if name in NO_TOPIC:
            return UnknownTable(table or "topic")
        if name in ("OFFSET_OUT_OF_RANGE", "_AUTO_OFFSET_RESET"):
            return PositionLost(f"in {table}", REMEDY, who)
        if name in (*_AWAY, "_SSL", "_AUTHENTICATION", "REQUEST_TIMED_OUT", "_TIMED_OUT_QUEUE"):
            return Unreachable(self.where, said.why() if said is not None else text, who)
        if name in PASSING:
            return Unreachable(self.where, f"{text} ({name})", who)
        if name in ("_BAD_MSG", "_BAD_COMPRESSION", "_INVALID_TYPE"):
            return ProtocolError(f"{self.where} answers, but not as Kafka does: {text}.", who)
        if name in ("_MSG_TIMED_OUT",):
            return SourceTimeout("The write", self.seconds, who)
        return QueryFailed(text, name, "", who)

    def lost(self, said: Said, place: str = "") -> WorkbenchError:
        """No broker answers in the middle of the work, or not the one that leads `place`."""
        refusal = said.refusal
        if refusal is not None:
            return self.of(refusal, said)
        who = "No broker" if said.down or not place else f"The broker that leads {place}, or none,"
        return ConnectionLost(f"{who} of {self.where} answers any more: {said.why()}.", self.connection)


def _cut_off(error: Any) -> bool:
    return error.name() == "_AUTHENTICATION" and any(word in str(error.str()).lower() for word in _CUT_OFF)


def _plain(text: str) -> str:
    """The driver's sentence, of a length that can be read."""
    return " ".join(str(text).split())[:400].rstrip(".")
