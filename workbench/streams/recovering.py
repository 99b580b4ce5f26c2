"""A run with state: its file is opened, snapshots are made from time to time, and the next run goes on from the last.
For a runner in one process; others call `Keeper` and `SnapshotFile` themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from workbench.streams.keeping import Keeper
from workbench.streams.snapshots import SnapshotFile, file_of
from workbench.streams.task import Task
from workbench.streams.tuples import Row

if TYPE_CHECKING:
    from workbench.streams.topology import Topology

__all__ = ["Recovery"]

SHARE = 10
"""A snapshot that takes so long, or that long was waited for in vain, is followed by the next one after ten times that
at least: then spouts rest for a tenth of the time at most."""
SOON = 1.0
"""Seconds after which it is tried again, where the moment was not quiet."""


class Recovery:
    """Use it in the runner's thread. `clock` gives seconds that only move on."""

    def __init__(
        self,
        topology: Topology,
        state: bool | str | os.PathLike[str],
        recover: bool,
        forget: Iterable[str],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.path = file_of(topology, state)
        self._file = SnapshotFile(topology, self.path, wall)
        self._recover, self._forget = recover, tuple(forget)
        self._every, self._clock, self._wall = topology.config["snapshot_every"], clock, wall
        self._next = self._least = 0.0
        self.epoch, self.at = 0, 0.0
        """Of the last snapshot: its number, and when it was made."""
        self.why_not = ""
        """Why there was no snapshot when there should have been one."""
        self.keeper: Keeper | None = None

    def open(self, lost: Callable[[Task, Iterable[Row], str], None], note: Callable[[str, str], None]) -> Keeper:
        """Raises StateRefused."""
        saved = self._file.open(self._recover, self._forget)
        self.keeper = Keeper(saved, str(self.path), lost, note)
        self.epoch, self.at = saved.epoch, saved.at if saved.epoch else 0.0
        self._next = self._clock() + self._every
        for component in self._forget:
            self.keeper.degrade(f"what was kept of `{component}` was left out when this run began")
        return self.keeper

    @property
    def due(self) -> bool:
        now = self._clock()
        return now >= self._next or (self.keeper is not None and self.keeper.crowded and now >= self._least)

    def take(self, quiet: Callable[[], str]) -> bool:
        """Makes a snapshot, if `quiet` says no reason why not. Raises StateRefused, and what sinks raise."""
        keeper, began = self.keeper, self._clock()
        assert keeper is not None
        self.why_not = quiet()
        if self.why_not:
            now = self._clock()
            self._next = self._least = now + max(min(SOON, self._every), SHARE * (now - began))
            return False
        collected = keeper.collect()
        self._file.save(keeper.epoch + 1, collected)
        keeper.keeps(keeper.epoch + 1)
        self.epoch, self.at = keeper.epoch, self._wall()
        keeper.commit()
        now = self._clock()
        self._next = now + max(self._every, SHARE * (now - began))
        return True

    def close(self) -> None:
        self._file.close()
