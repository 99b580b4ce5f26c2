"""What does `import workbench` cost? At most 150 ms of CPU above an empty interpreter, in fresh processes."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

from benchmarks.harness import arguments, figure


def _cpu(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    options = arguments(__doc__).parse_args()
    count = options.rounds or (5 if options.quick else 21)
    extra = [_cpu("import workbench") - _cpu("pass") for _ in range(count)]
    figure("import_time", statistics.median(extra) * 1e3, "ms_cpu_above_an_empty_interpreter")


if __name__ == "__main__":
    main()
