"""Access logs for tests: one made here, and where it lies beside the repository a real one; and what plain text tools
count in them."""

from __future__ import annotations

import gzip
import random
import subprocess
from pathlib import Path

AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/128.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148",
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
    "<script>alert(document.domain)</script>",
    r"quoted \"name\" 1.0",
    "\x1b[2J\x1b]0;owned\x07",
    "one\u2028two\x0bthree\x85four",
)
BROKEN = (
    "",
    "not a line of a log",
    '198.51.100.1 - - [31/Feb/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "x"',
    '198.51.100.1 - - [01/Mar/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "cut off',
)


def synthetic(folder: Path, lines: int = 3000) -> Path:
    """Seeded: visits of some hosts over four days in March 2026, Apache's lines and nginx's, and broken ones."""
    dice = random.Random(7)
    made: list[tuple[int, str]] = []
    while len(made) < lines:
        host = f"203.0.113.{dice.randint(1, 60)}" if dice.random() < 0.8 else f"2001:db8::{dice.randint(1, 40):x}"
        agent, at = dice.choice(AGENTS), dice.randint(0, 4 * 86_400 - 1)
        for _ in range(dice.randint(1, 8)):
            path = dice.choice(("/", "/a", "/a?b=c", "/docs/#top", "/x.css", "/img/y.PNG", "/docs/", "/cart?x=%20"))
            request = dice.choice((f"GET {path} HTTP/1.1",) * 9 + (f"POST {path} HTTP/2.0", r"\x16\x03\x01", "-"))
            status = dice.choice((200,) * 12 + (304, 301, 404, 500))
            referrer = dice.choice(("-", "-", "https://www.example.org/q?a=b", "https://shop.example/x", "no url"))
            time = f"{1 + at // 86_400:02d}/Mar/2026:{at // 3600 % 24:02d}:{at // 60 % 60:02d}:{at % 60:02d} +0000"
            tail = dice.choice(("", ' "10.0.0.1" 0.004'))
            made.append((at, f'{host} - - [{time}] "{request}" {status} 512 "{referrer}" "{agent}"{tail}'))
            at = min(at + dice.choice((0, 1, 10, 11, 1799, 1800, 1801, 4000)), 4 * 86_400 - 1)
    texts = [text for _, text in sorted(made)]
    for number, text in enumerate(BROKEN * 3):
        texts.insert(dice.randint(0, len(texts)), text if number else BROKEN[1])
    path = folder / "access.log.gz"
    path.write_bytes(gzip.compress("\n".join([*texts, ""]).encode()))
    return path


def real(repository: Path) -> Path | None:
    """10,000 lines of a real server (elastic/examples, Apache-2.0), which is no part of the repository."""
    for folder in repository.parents:
        path = folder / "shared" / "data" / "weblog" / "elastic_apache_logs.log.gz"
        if path.is_file():
            return path
    return None


PREAMBLE = r"""
set -eu
export LC_ALL=C
quoted='"([^"\\]|\\.)*"'
days='(0[1-9]|[12][0-9]|3[01])/(Mar|May)'
start="^[^ ]+ [^ ]+ [^ ]+ \[$days/20[0-9][0-9]:[0-9:]{8} \+0000\]"
form="$start $quoted [0-9]{3} ([0-9]+|-)( $quoted $quoted( .*)?)?\$"
lines() { gzip -dc "$log" | sed '/^$/d'; }
parsed() { lines | grep -aE "$form"; }
# host, second since 1970-01-01 within the month, day, page view or not, path
rows() {
  parsed | awk -F'"' '{
    split($1, head, " "); split($2, request, " "); split($3, answer, " ")
    time = substr(head[4], 2); day = substr(time, 1, 2)
    second = day * 86400 + substr(time, 13, 2) * 3600 + substr(time, 16, 2) * 60 + substr(time, 19, 2)
    path = request[2]; sub(/[?#].*/, "", path); if (path == "") path = "/"
    whole = request[1] == "GET" && request[3] ~ /^HTTP/ && (answer[1] ~ /^2/ || answer[1] == 304)
    view = whole
    if (tolower(path) ~ /\.(css|js|mjs|map|png|jpe?g|gif|svg|webp|avif|ico|woff2?|ttf|eot|otf|mp[34]|webm)$/) view = 0
    print head[1], second, day, view, (view ? path : "-")
  }'
}
# host, first second, last second, page views: one line a session
sessions() {
  rows | sort -k1,1 -k2,2n | awk '
    $1 != host || $2 - last > 1800 { if (NR > 1) print host, first, last, views; host = $1; first = $2; views = 0 }
    { last = $2; views += $4 }
    END { print host, first, last, views }'
}
"""

COUNTS = {
    "read": 'gzip -dc "$log" | wc -l',
    "parsed": "parsed | wc -l",
    "visitors": "rows | cut -d' ' -f1 | sort -u | wc -l",
    "page_views": "rows | awk '{ n += $4 } END { print n }'",
    "sessions": "sessions | wc -l",
    "bounces": "sessions | awk '$4 <= 1' | wc -l",
    "seconds": "sessions | awk '$4 > 1 { n += $3 - $2 } END { print n }'",
}
_COUNT = "sort | uniq -c | awk '{ print $2, $1 }'"
LISTS = {
    "visitors by day": f"rows | awk '{{ print $3, $1 }}' | sort -u | cut -d' ' -f1 | {_COUNT}",
    "page views by day": "rows | awk '{ n[$3] += $4 } END { for (d in n) print d, n[d] }'",
    "sessions by day": f"sessions | awk '{{ printf \"%02d\\n\", int($2 / 86400) }}' | {_COUNT}",
    "page views by page": f"rows | awk '$4 {{ print $5 }}' | {_COUNT}",
    "visitors by page": f"rows | awk '$4 {{ print $5, $1 }}' | sort -u | cut -d' ' -f1 | {_COUNT}",
}


def counted(log: Path, command: str) -> str:
    """What grep, awk, sort and uniq make of the log."""
    script = f"log='{log}'\n{PREAMBLE}\n{command}\n"
    return subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.decode().strip()


def counted_list(log: Path, command: str) -> dict[str, int]:
    pairs = (line.split(" ") for line in counted(log, command).splitlines())
    return {name: int(count) for name, count in pairs}
