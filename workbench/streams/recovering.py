"""A run with state: its file is opened, snapshots are made from time to time, and the next run goes on from the last.
For a runner in one process; others call `Keeper` and `SnapshotFile` themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from workbench.streams.keeping import Keeper
from workbench.streams.running import Snapshot
from workbench.streams.snapshots import SnapshotFile, file_of, forgotten
from workbench.streams.task import Task
from workbench.streams.tuples import Row

if TYPE_CHECKING:
    from workbench.streams.topology import Topology

__all__ = ["LAST_NAPS", "Recovery"]

SHARE = 10
"""A snapshot that takes so long, or that long was waited for in vain, is followed by the next one after ten times that
at least: then spouts rest for a tenth of the time at most."""
PATIENCE, MOST_PATIENCE = 2.0, 60.0
"""Seconds that spouts rest until a moment is quiet. Where it was in vain, they rest twice as long the next time."""
LAST_NAPS = 500
"""How often it is looked whether the moment is quiet, for the last snapshot of a run."""
TOLD = 60.0
"""Seconds between two lines in the log that say why there is no snapshot."""


class Recovery:
    """Use it in the runner's thread. `clock` gives seconds that only move on."""

    def __init__(
        self,
        topology: Topology,
        state: bool | str | os.PathLike[str] | None,
        recover: bool,
        forget: Iterable[str],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.path = file_of(topology, state)
        self._file = SnapshotFile(topology, self.path, wall)
        self._recover, self._forget = recover, forgotten(forget)
        self._every, self._clock, self._wall = topology.config["snapshot_every"], clock, wall
        self._next = self._least = 0.0
        self._began: float | None = None
        """Since when spouts rest for a snapshot."""
        self._patience, self._told = PATIENCE, -TOLD
        self.epoch, self.at = 0, 0.0
        """Of the last snapshot: its number, and when it was made."""
        self.why_not = ""
        """Why there was no snapshot when there should have been one."""
        self.keeper: Keeper | None = None
        self._note: Callable[[str, str], None] = lambda component, text: None

    def open(self, lost: Callable[[Task, Iterable[Row], str], None], note: Callable[[str, str], None]) -> Keeper:
        """Raises StateRefused."""
        saved = self._file.open(self._recover, self._forget)
        self.keeper, self._note = Keeper(saved, str(self.path), lost, note), note
        self.epoch, self.at = saved.epoch, saved.at if saved.epoch else 0.0
        self._next = self._clock() + self._every
        for component in self._forget:
            self.keeper.degrade(f"what was kept of `{component}` was left out when this run began")
        return self.keeper

    @property
    def due(self) -> bool:
        """Whether spouts are to rest now, until it is quiet."""
        now = self._clock()
        if self._began is None and (
            now >= self._next or (self.keeper is not None and self.keeper.crowded and now >= self._least)
        ):
            self._began = now
        return self._began is not None

    def vain(self, why: str) -> bool:
        """It is not quiet yet; whether spouts are to go on, and it is tried again later. They rest on where a sink has
        so much to write that it can take no more."""
        now = self._clock()
        assert self._began is not None
        assert self.keeper is not None
        rested = now - self._began
        if rested < self._patience:
            return False
        self.why_not = why
        if now - self._told >= TOLD:
            self._told = now
            self._note("state", f"no snapshot since {rested:.0f} s after it was due, for {why}.")
        if self.keeper.crowded:
            return False
        self._next = self._least = now + max(self._every, SHARE * rested)
        self._began, self._patience = None, min(2 * self._patience, MOST_PATIENCE)
        return True

    def take(self) -> None:
        """Makes a snapshot, at a quiet moment. Raises StateRefused, and what sinks raise."""
        keeper, began = self.keeper, self._clock()
        assert keeper is not None
        collected = keeper.collect()
        self._file.save(keeper.epoch + 1, collected)
        keeper.keeps(keeper.epoch + 1)
        self.epoch, self.at, self.why_not = keeper.epoch, self._wall(), ""
        keeper.commit()
        now = self._clock()
        self._next, self._began, self._patience = now + max(self._every, SHARE * (now - began)), None, PATIENCE

    @property
    def last(self) -> Snapshot:
        """For the run's handle."""
        return Snapshot(self.epoch, self.at, str(self.path), self.why_not)

    def close(self) -> None:
        self._file.close()
