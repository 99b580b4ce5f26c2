"""The hostile list of what is seen and shared, and the tests that try each of it: `make hostile` runs them and prints
the table. A plugin of pytest; `python -m tests.hostile FILES` names the tests that are in none of these files."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

__all__ = ["LIST", "PROMISED"]

PROMISED = (
    *("B10", "B11", "B12", "C12"),
    *(f"E{number}" for number in range(1, 13)),
    *(f"F{number}" for number in range(1, 16) if number != 8),
)

_SERVER, _RESULTS = "tests/server/test_hostile.py", "tests/server/test_results.py"
_LARGE, _PAGES = "tests/server/test_results_large.py", "tests/dashboards/test_hostile_pages.py"
_VIEWER, _FRAMES = "tests/dashboards/test_hostile.py", "tests/dashboards/test_hostile_frames.py"
_GRID, _PANEL = "tests/browser/test_grid_values.py", "tests/browser/test_panel.py"

LIST: dict[str, tuple[str, ...]] = {
    "B10": (f"{_LARGE}::test_b10_five_million_rows_in_the_browser",),
    "B11": (f"{_LARGE}::test_b11_a_cell_of_a_gigabyte",),
    "B12": (f"{_RESULTS}::test_b12_ten_thousand_columns",),
    "C12": ("tests/server/test_connections.py::test_a_secret_is_in_no_answer_and_no_document",),
    "E1": (f"{_SERVER}::test_e1_a_stranger_gets_nowhere", f"{_VIEWER}::test_every_route_of_ours_asks_who_it_is"),
    "E2": (
        f"{_SERVER}::test_e2_no_change_without_the_xsrf_token",
        f"{_SERVER}::test_e2_the_cookie_with_the_xsrf_token_may",
    ),
    "E3": (f"{_SERVER}::test_e3_another_sites_page_gets_nothing",),
    "E4": (f"{_PAGES}::test_e4_the_log_in_leads_nowhere_else",),
    "E5": (f"{_SERVER}::test_e5_a_path_leads_nowhere_else",),
    "E6": (f"{_SERVER}::test_e6_a_token_in_an_address_is_not_logged",),
    "E7": (
        f"{_SERVER}::test_e7_a_broken_body_is_refused",
        f"{_SERVER}::test_e7_a_hundred_megabytes_are_not_taken_in",
        f"{_SERVER}::test_e7_one_byte_too_many_is_said",
    ),
    "E8": (f"{_SERVER}::test_e8_a_foreign_host_is_refused_and_in_no_answer",),
    "E9": (
        f"{_SERVER}::test_e9_a_header_does_not_change_the_verb",
        f"{_SERVER}::test_e9_only_json_is_read",
    ),
    "E10": (f"{_SERVER}::test_e10_no_error_is_a_page_with_a_script",),
    "E11": (f"{_RESULTS}::test_e11_a_download_is_named_harmlessly",),
    "E12": (f"{_SERVER}::test_e12_every_answer_says_how_it_may_be_used",),
    "F1": (f"{_GRID}::test_markup_in_names_and_values_is_text",),
    "F2": (f"{_GRID}::test_markup_in_names_and_values_is_text", f"{_PANEL}::test_names_comments_and_errors_are_text"),
    "F3": (f"{_PANEL}::test_names_comments_and_errors_are_text",),
    "F4": (f"{_PAGES}::test_f4_titles_and_file_names_are_text",),
    "F5": (f"{_PANEL}::test_names_comments_and_errors_are_text",),
    "F6": (f"{_PAGES}::test_f6_labels_of_charts_are_text",),
    "F7": (f"{_PAGES}::test_f7_addresses_in_data_are_text", f"{_GRID}::test_markup_in_names_and_values_is_text"),
    "F9": (f"{_PAGES}::test_f9_the_state_of_widgets_is_text",),
    "F10": (
        f"{_PAGES}::test_f10_a_drawing_s_scripts_do_not_run",
        "tests/catalog/test_icons.py::test_what_could_do_something_or_lead_elsewhere_does_not",
    ),
    "F11": (
        f"{_VIEWER}::test_a_kernel_does_nothing_that_a_page_asks",
        f"{_VIEWER}::test_a_page_has_neither_source_nor_traceback",
        f"{_VIEWER}::test_a_widget_s_failure_is_no_traceback",
        f"{_FRAMES}::test_a_kernel_does_nothing_that_a_frame_asks",
    ),
    "F12": (
        f"{_PAGES}::test_f12_a_button_of_data_runs_no_command",
        f"{_GRID}::test_markup_in_names_and_values_is_text",
    ),
    "F13": (f"{_PAGES}::test_f13_lines_of_a_log_are_text", "tests/kit/test_logs.py::test_what_is_refused_says_why"),
    "F14": (f"{_RESULTS}::test_f14_a_spreadsheet_runs_nothing",),
    "F15": (
        "tests/notebook/test_magics.py::test_a_secret_in_the_cell_is_not_in_its_output",
        "tests/catalog/test_secrets.py::test_a_canary_is_seen_nowhere",
    ),
}
_tried: Counter[str] = Counter()
_survived: Counter[str] = Counter()


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Of the tests that take minutes, those of the list run."""
    listed = {test for tests in LIST.values() for test in tests}
    late = [one for one in items if one.get_closest_marker("deep") and one.nodeid.partition("[")[0] not in listed]
    items[:] = [one for one in items if one not in late]
    config.hook.pytest_deselected(items=late)


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call" or report.outcome != "passed":
        test = report.nodeid.partition("[")[0]
        _tried[test] += 1
        _survived[test] += report.outcome == "passed"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.section("the hostile list")
    for case, tests in LIST.items():
        for test in tests:
            terminalreporter.line(f"{case:4} tried {_tried[test]:4}, survived {_survived[test]:4}  {test}")
    terminalreporter.line(f"hostile: tried {_tried.total()}, survived {_survived.total()}, in all files")


if __name__ == "__main__":
    print(*sorted({test for tests in LIST.values() for test in tests if test.partition("::")[0] not in sys.argv[1:]}))
