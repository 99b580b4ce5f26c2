"""The command `workbench`, also as `jupyter workbench`. One module a verb, imported when it is called."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType, ModuleType

__all__ = ["VERBS", "main"]

VERBS = {
    "connect": "save a connection to a database, a file or a folder",
    "connections": "list, look into, test or remove connections",
    "sql": "run SQL over connections and files",
    "running": "show what runs, in any process, and stop it",
    "publish": "publish a notebook as a dashboard that others look at",
    "dashboards": "list what is published, take it back, stop the viewer",
    "demo": "make the demo shop, or let its events go on",
    "lab": "open JupyterLab with the demo shop and the example notebooks",
    "doctor": "find out why something does not work",
}
EXIT_FAILED, EXIT_USAGE, EXIT_STOPPED = 1, 2, 130

_ABOUT = """\
Analytics Workbench: ask, see and share what lies in many systems.

{verbs}

examples:
  {prog} lab
  {prog} connect shop mysql://analyst@db.example/shop
  {prog} sql "select country, count(*) from shop.customers group by 1"

`{prog} VERB --help` teaches each of them.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb and returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 stopped."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    prog = "jupyter workbench" if os.path.basename(sys.argv[0]).startswith("jupyter-") else "workbench"
    verb = given[0] if given else ""
    if verb in ("", "-h", "--help", "help"):
        verbs = "\n".join(f"  {name:<12} {what}" for name, what in VERBS.items())
        print(_ABOUT.format(verbs=verbs, prog=prog), end="")
        return 0 if verb else EXIT_USAGE
    if verb == "--version":
        from workbench import __version__

        print(f"Analytics Workbench {__version__}")
        return 0
    if verb not in VERBS:
        import difflib

        near = difflib.get_close_matches(verb, VERBS, n=1)
        did = f" Did you mean `{near[0]}`?" if near else ""
        print(f"{prog}: no verb `{verb}`.{did} There are {', '.join(VERBS)}.", file=sys.stderr)
        return EXIT_USAGE
    return _run(f"{prog} {verb}", verb, given[1:])


def _run(prog: str, verb: str, given: list[str]) -> int:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for a terminal that has not all letters
    try:
        module = importlib.import_module(f"workbench.cli.{verb}")
        code: int = module.run(_options(module, prog, verb, given))
        sys.stdout.flush()
    except KeyboardInterrupt:
        _say(prog, "stopped.")
        return EXIT_STOPPED
    except BrokenPipeError:
        _forget_output()  # whoever read it has enough (`| head`)
        return 0
    except Exception as error:
        if _interrupted(error):
            _say(prog, "stopped.")
            return EXIT_STOPPED
        if "--debug" in given:
            raise
        return _failed(prog, error)
    return code


def _interrupted(error: BaseException) -> bool:
    """Whether it is what DuckDB makes of a signal that came while it worked: it puts its own error in the place of the
    handler's."""
    return isinstance(error, RuntimeError) and str(error) == "Query interrupted"


def _options(module: ModuleType, prog: str, verb: str, given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=module.DESCRIPTION,
        epilog=module.EXAMPLES.replace("workbench ", prog.removesuffix(verb)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    if not getattr(module, "PASSES_ON", False):
        return parser.parse_args(given)
    options, passed = parser.parse_known_args(given)
    options.passed = [word for word in passed if word != "--"]
    return options


def _failed(prog: str, error: Exception) -> int:
    from workbench.contract.errors import Cancelled, WorkbenchError

    if isinstance(error, WorkbenchError):
        _say(prog, str(error))
        return EXIT_STOPPED if isinstance(error, Cancelled) else EXIT_FAILED
    if isinstance(error, OSError) and error.strerror:
        _forget_output()  # of which the disk may be full
        _say(prog, f"{error.filename}: {error.strerror}" if error.filename else f"{error.strerror}.")
        return EXIT_FAILED
    _say(prog, f"{type(error).__name__}: {error}. This is a mistake of ours; --debug shows where.")
    return EXIT_FAILED


def _forget_output() -> None:
    """What is still buffered would raise again at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _say(prog: str, text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"{prog}: {' '.join(text.split())}", file=sys.stderr)


def _terminated(number: int, frame: FrameType | None) -> None:
    """SIGTERM is as Ctrl-C: the work at the sources is ended before we go."""
    raise KeyboardInterrupt
