"""The first line of a SQL cell: `[name <<] [--native CONNECTION] [--on cluster] [--rows N] [--explain] [--help]
[SQL …]`."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from workbench.contract.errors import UsageError, near

__all__ = ["HELP", "OPTIONS", "Options", "parse"]

HELP = """\
%%sql [name <<] [--native CONNECTION] [--on cluster] [--rows N] [--explain] [--help]
SELECT …

Runs SQL over connections (connection.table), over frames and results of the notebook by the names of their
variables, and over files by their path. $name is bound to the variable `name`; it is never pasted into the text.

name <<               keep the result in the variable `name`, and show nothing; it runs when it is first used
--native CONNECTION   the text is the connection's own SQL, and is sent to it as it is
--on cluster          run it on the workers of wb.cluster(…)
--rows N              show the first N rows (50 when not given)
--explain             do not run it: show what each source would be asked
--help                this text

%sql SELECT …         the same in one line; `r = %sql …` keeps the result
"""

OPTIONS = {"native": True, "on": True, "rows": True, "explain": False, "help": False}
"""Name, and whether a value follows."""

_EXAMPLES = {"native": "CONNECTION", "on": "cluster", "rows": "N"}
_NAME = re.compile(r"\s*([^\W\d]\w*)\s*<<")
_OPTION = re.compile(r"\s*--(?=\S)([^\s=]+)")
_VALUE = re.compile(r"(?:=|\s+)(\S+)")


@dataclass(frozen=True)
class Options:
    """`sql` is what is left of the line: the statement's beginning."""

    name: str = ""
    native: str = ""
    on: str = ""
    rows: int | None = None
    explain: bool = False
    help: bool = False
    sql: str = ""


def parse(line: str) -> Options:
    """Strictly: what is not known is refused by name. A `-- comment` begins the SQL. Raises UsageError."""
    name, at = "", 0
    found: dict[str, str] = {}
    while True:
        if not name and (match := _NAME.match(line, at)):
            name, at = match[1], match.end()
            if keyword.iskeyword(name):
                raise UsageError(f"`{name}` is a word of Python and cannot keep a result; choose another name.")
        elif match := _OPTION.match(line, at):
            at = _option(line, match, found)
        else:
            break
    rows = None
    if "rows" in found:
        if not re.fullmatch(r"[0-9]{1,6}", found["rows"]):
            raise UsageError(f"`--rows` takes a number of rows, not `{found['rows']}`.")
        rows = int(found["rows"])
    if "native" in found and "on" in found:
        raise UsageError("A source's own SQL runs at that source: `--native` and `--on` do not go together.")
    native, on = found.get("native", ""), found.get("on", "")
    return Options(name, native, on, rows, "explain" in found, "help" in found, line[at:].strip())


def _option(line: str, match: re.Match[str], found: dict[str, str]) -> int:
    """Puts the option into `found`; where the line goes on after it."""
    option = match[1]
    if option not in OPTIONS:
        close = near(option, OPTIONS)
        did = f"Did you mean `--{close[0]}`?" if close else f"It has {', '.join(f'--{name}' for name in OPTIONS)}."
        raise UsageError(f"`%%sql` has no option `--{option}`. {did} A comment is `-- ` with a blank.")
    if option in found:
        raise UsageError(f"`--{option}` is given twice.")
    if not OPTIONS[option]:
        if line[match.end() : match.end() + 1] == "=":
            raise UsageError(f"`--{option}` takes no value.")
        found[option] = ""
        return match.end()
    value = _VALUE.match(line, match.end())
    if value is None or value[1].startswith("--"):
        raise UsageError(f"`--{option}` needs a value: `--{option} {_EXAMPLES[option]}`.")
    found[option] = value[1]
    return value.end()
