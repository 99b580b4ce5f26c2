"""A report with its parameters as controls: a change computes it anew, beside the cell, so that the kernel is free."""

from __future__ import annotations

import dataclasses
import html
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

from workbench.contract.errors import Cancelled, WorkbenchError
from workbench.execution import threads
from workbench.reports.drawing import theme_named

if TYPE_CHECKING:
    from workbench.reports.report import Definition, Report

__all__ = ["ReportView"]

PERIODS = ("today", "yesterday", "last 7 days", "last 28 days", "last 90 days", "this month", "last month", "all")
TICK = 0.5
_PLOTLY = "application/vnd.plotly.v1+json"


class ReportView(ipywidgets.VBox):  # type: ignore[misc]
    """Controls for the period, the choices and the switches of the report's definition, its figure, and Stop.

    `report` is the one that is shown; it is another one after a change. What cannot be computed is said in place of
    the status, and the figure before it stays."""

    def __init__(self, report: Report, theme: str | None = None) -> None:
        self.report, self.theme = report, theme_named(theme)
        self._lock = threading.Lock()
        self._wanted = 0
        self._under_way: Report | None = None
        self._done = threading.Event()
        self._controls = _controls(report.definition)
        self._stop = ipywidgets.Button(description="Stop", icon="stop", disabled=True, tooltip="Stop computing")
        self._status = ipywidgets.HTML()
        self._figure = ipywidgets.Output()
        super().__init__(
            [
                ipywidgets.Box(
                    [*self._controls.values(), self._stop],
                    layout={"flex_flow": "row wrap", "align_items": "center"},
                ),
                self._status,
                self._figure,
            ]
        )
        for control in self._controls.values():
            control.observe(self._changed, "value")
        self._stop.on_click(lambda _: self.stop())
        self._compute(report)

    def wait(self, timeout: float | None = None) -> bool:
        """Until what was asked last is shown, or said not to go; False at the time-out."""
        return self._done.wait(timeout)

    def stop(self) -> None:
        """Ends what is being computed, at the sources too; the figure before it stays."""
        with self._lock:
            under_way = self._under_way
        if under_way is not None:
            under_way.cancel()

    # --- inside

    def _changed(self, _: object) -> None:
        values = {name: control.value for name, control in self._controls.items()}
        try:
            definition = dataclasses.replace(self.report.definition, **values)
        except WorkbenchError as error:
            self._say(str(error), bad=True)
            return
        if definition != self.report.definition:
            self._compute(self.report.with_definition(definition))

    def _compute(self, report: Report) -> None:
        self.stop()
        with self._lock:
            self._wanted += 1
            number, self._under_way = self._wanted, report
            self._done.clear()
        self._stop.disabled = False
        self._say("Computing…")
        threads.run(lambda: self._work(number, report))

    def _work(self, number: int, report: Report) -> None:
        over = threading.Event()
        threads.run(lambda: self._tick(number, over))
        try:
            figure = report.figure(self.theme)
            outcome: Callable[[], None] = lambda: self._show(report, figure)  # noqa: E731
        except Cancelled:
            outcome = lambda: self._say("Stopped; what is shown is from before.")  # noqa: E731
        except WorkbenchError as error:
            said = str(error)
            outcome = lambda: self._say(said, bad=True)  # noqa: E731
        except Exception as error:  # noqa: BLE001  # shown where the figure would be; nobody else waits for it
            said = f"This is a mistake of ours: {type(error).__name__}: {error}"
            outcome = lambda: self._say(said, bad=True)  # noqa: E731
        finally:
            over.set()
        with self._lock:
            if number != self._wanted:
                return  # something else was asked meanwhile
            self._under_way = None
            outcome()
            self._stop.disabled = True
            self._done.set()

    def _tick(self, number: int, over: threading.Event) -> None:
        seconds = 0.0
        while not over.wait(TICK):
            seconds += TICK
            with self._lock:
                if number != self._wanted or over.is_set():
                    return
                self._say(f"Computing… {seconds:.0f} s")

    def _show(self, report: Report, figure: Any) -> None:
        self.report = report
        data = {_PLOTLY: figure.to_plotly_json(), "text/plain": repr(report)}
        self._figure.outputs = ({"output_type": "display_data", "data": _json(data), "metadata": {}},)
        self._say(" ".join(report.notes))

    def _say(self, text: str, bad: bool = False) -> None:
        colour = "var(--jp-error-color1, #b00020)" if bad else "var(--jp-ui-font-color2, #777)"
        role = "alert" if bad else "status"
        self._status.value = f'<span role="{role}" style="color:{colour}">{html.escape(text)}</span>' if text else ""


def _controls(definition: Definition) -> dict[str, Any]:
    """A control for each parameter that a person would turn, in the order of the definition."""
    made: dict[str, Any] = {}
    choices: Mapping[str, Sequence[str]] = definition.choices
    for field in dataclasses.fields(definition):
        value, label = getattr(definition, field.name), field.name.replace("_", " ").capitalize()
        if field.name == "period":
            made["period"] = ipywidgets.Combobox(
                value=value, options=PERIODS, description=label, ensure_option=False, continuous_update=False
            )
        elif field.name in choices:
            options = list(dict.fromkeys([value, *choices[field.name]]))
            made[field.name] = ipywidgets.Dropdown(value=value, options=sorted(options), description=label)
        elif isinstance(value, bool):
            made[field.name] = ipywidgets.Checkbox(value=value, description=label, indent=False)
        elif field.name == "zone":
            made["zone"] = ipywidgets.Text(value=value, description=label, continuous_update=False)
    return made


def _json(value: Any) -> Any:
    """With plain lists for arrays, as a message between processes has them."""
    from plotly.utils import PlotlyJSONEncoder

    return json.loads(json.dumps(value, cls=PlotlyJSONEncoder))
