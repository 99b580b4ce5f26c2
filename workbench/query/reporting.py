"""What is said of scans: figures while they run, and their part of an explanation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from workbench.contract.predicate import Applied as Level
from workbench.query.explain import Applied, SourceReport

if TYPE_CHECKING:
    from workbench.contract.scan import ScanPlan
    from workbench.execution.scan import ScanStats
    from workbench.query.lookup import RemoteTarget

__all__ = ["figures", "report", "sayings"]


def figures(stats: list[ScanStats]) -> tuple[int, int, float | None]:
    fractions = [one.fraction for one in stats if one.fraction is not None]
    fraction = sum(fractions) / len(stats) if stats and len(fractions) == len(stats) else None
    return sum(one.rows_moved for one in stats), sum(one.bytes_received for one in stats), fraction


def sayings(stats: list[ScanStats]) -> str:
    """What the sources say of their own work, each thing once."""
    return "; ".join(dict.fromkeys(one.said for one in stats if one.said))


def report(target: RemoteTarget, plan: ScanPlan, stats: ScanStats | None, foreseen: bool, again: bool) -> SourceReport:
    conditions = tuple(
        Applied(str(one), Level(plan.applied.get(one, Level.NONE)).name, plan.reasons.get(one, ""))
        for one in plan.request.predicates
    )
    notes = plan.notes
    if plan.aggregated:
        notes = (f"added up at the source: {plan.request.aggregate}", *notes)
    elif plan.top_applied:
        notes = (f"only {plan.request.top} of each split", *notes)
    report = SourceReport(
        connection=target.connection,
        table=str(target.table),
        columns=plan.request.columns,
        native_text=plan.native_text,
        conditions=conditions,
        splits=max(1, len(plan.splits)),
        estimate=plan.estimate,
        foreseen=foreseen,
        again=again,
        notes=notes,
    )
    if stats is None:
        return report
    return replace(
        report,
        rows_moved=stats.rows_moved,
        rows_kept=stats.rows_kept,
        bytes=stats.bytes_received,
        seconds=stats.seconds,
        retries=stats.retries,
        lost=dict(stats.lost),
    )
