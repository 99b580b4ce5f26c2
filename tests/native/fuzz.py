"""Fuzzing the native core: replies that are random, cut, bit-flipped or spliced, against buffers that end at a page
nobody may touch. A read or write outside is a fault of the process; here the answers are checked too.

`python -m tests.native.fuzz --seconds 60 [--seed N] [NAME]`, with `connectors` on the path. The time is shared by all.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time

FUZZERS = ("mysql", "bson", "hbase", "hive")
"""A module `tests.native.fuzz_<name>` each, with `fuzz(seconds, seed)` that counts what the core answered and raises
AssertionError with the seed of the round."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("name", nargs="?", choices=FUZZERS)
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}")
    names = [chosen.name] if chosen.name else FUZZERS
    for name in names:
        module = importlib.import_module(f"tests.native.fuzz_{name}")
        for what, count in sorted(module.fuzz(chosen.seconds / len(names), chosen.seed).items()):
            print(f"{name:8} {what:12} {count:12,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
