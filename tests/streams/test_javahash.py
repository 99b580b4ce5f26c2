"""Keys hash as in Java: against vectors that a JVM computed once, and, where there is one, against it."""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.contract.errors import InvalidParameter
from workbench.streams.javahash import JavaRandom, deep_hash, java_hash
from workbench.streams.routing import two_choices

HERE = Path(__file__).parent
ROWS: list[list[object]] = [
    [],
    [None],
    [""],
    ["a"],
    ["hello world"],
    ["/p/017"],
    ["Grüße, 世界"],
    ["😀 beyond the BMP 𝄞"],
    ["\ud83d"],
    ["\udc00\ud800"],
    ["x" * 300],
    [True],
    [False],
    [0],
    [1],
    [-1],
    [2**31 - 1],
    [2**31],
    [-(2**31)],
    [2**63 - 1],
    [-(2**63)],
    [0.0],
    [-0.0],
    [1.0],
    [1.5],
    [1e22],
    [5e-324],
    [float("inf")],
    [float("-inf")],
    [float("nan")],
    [b""],
    [b"\x00\x7f\x80\xff"],
    [[]],
    [[1, "a", None]],
    [[[True], [1.0, [2]]], "x"],
    ["a", 1, 2.0, None, True, b"\xfe", ["b", -7]],
    ["b", "a"],
]


def rows() -> list[list[object]]:
    chance = random.Random(20_260_101)

    def value(depth: int) -> object:
        kind = chance.randrange(8 if depth < 3 else 6)
        if kind == 0:
            return "".join(chr(chance.choice((chance.randrange(128), chance.randrange(0x110000)))) for _ in range(9))
        if kind == 1:
            return chance.randrange(-(2**63), 2**63)
        if kind == 2:
            return chance.randrange(-1000, 1000)
        if kind == 3:
            return struct.unpack(">d", chance.randbytes(8))[0]
        if kind == 4:
            return chance.choice((None, True, False))
        if kind == 5:
            return chance.randbytes(5) if not depth else "inside"
        return [value(depth + 1) for _ in range(chance.randrange(4))]

    return ROWS + [[value(0) for _ in range(chance.randrange(1, 4))] for _ in range(400)]


def written(value: object) -> str:
    if value is None:
        return "n"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, int):
        return f"l{value}"
    if isinstance(value, float):
        return f"d{struct.pack('>d', value).hex()}"
    if isinstance(value, str):
        return f"s{value.encode('utf-16-be', 'surrogatepass').hex()}"
    if isinstance(value, bytes):
        return f"y{value.hex()}"
    assert isinstance(value, list)
    return " ".join(["[", *map(written, value), "]"])


def ours(row: list[object]) -> list[int]:
    found = deep_hash(row)
    return [found, found % 7, *(two_choices(row[:1], 7) if row else (0, 0))]


def computed() -> list[list[int]]:
    """By a JVM."""
    text = "\n".join(" ".join(map(written, row)) for row in rows())
    java = subprocess.run(
        ["java", str(HERE / "Hashes.java")], input=text + "\n", capture_output=True, text=True, check=True, timeout=120
    )
    return [[int(word) for word in line.split()] for line in java.stdout.splitlines()]


def test_as_a_jvm_has_computed() -> None:
    vectors = json.loads((HERE / "hashes.json").read_text())
    assert len(vectors) == len(rows())
    for row, vector in zip(rows(), vectors, strict=True):
        assert ours(row) == vector, row


@pytest.mark.skipif(shutil.which("javac") is None, reason="there is no JDK on this machine; the vectors stand for it")
def test_as_the_jvm_here_computes() -> None:
    for row, vector in zip(rows(), computed(), strict=True):
        assert ours(row) == vector, row


def test_a_key_without_a_hash_that_is_the_same_everywhere_is_refused_by_type() -> None:
    for value, says in (
        (2**63, "64 bits"),
        ({"a": 1}, "`dict`"),
        ([b"x"], "inside of a list"),
        (object(), "`object`"),
    ):
        with pytest.raises(InvalidParameter, match=says):
            deep_hash([value])


def test_a_tuple_is_a_list() -> None:
    assert java_hash((1, "a")) == java_hash([1, "a"])


def test_java_random_draws_again_where_a_number_would_be_more_likely() -> None:
    drawn = [JavaRandom(seed).next_int(2**30 + 1) for seed in range(50)]
    assert all(0 <= number <= 2**30 for number in drawn)


if __name__ == "__main__":  # the vectors anew: python tests/streams/test_javahash.py > tests/streams/hashes.json
    json.dump(computed(), sys.stdout, separators=(",", ":"))
    print()
