"""The rows of the streams benchmarks, the same for every side; the standard library only."""

import random

WINDOW, LAG = 1000, 500


def sentences(count):
    chance = random.Random(7)
    words = [f"w{number:04d}" for number in range(3000)]
    weights = [1 / (number + 1) for number in range(3000)]
    return [" ".join(chance.choices(words, weights, k=8)) for _ in range(count)]


def views(count):
    """(milliseconds, page, user, duration): one a millisecond, up to 400 ms out of order."""
    chance = random.Random(7)
    pages = [f"/p/{number:03d}" for number in range(200)]
    weights = [1 / (number + 1) for number in range(200)]
    chosen = chance.choices(pages, weights, k=count)
    return [
        (number + chance.randrange(400), chosen[number], chance.randrange(10_000), chance.random() * 100)
        for number in range(count)
    ]


def loop_words(rows):
    counts = {}
    for sentence in rows:
        for word in sentence.split(" "):
            counts[word] = counts.get(word, 0) + 1
    return counts


class Tumbling:
    """By hand: windows of one second by event time, keyed by page; a watermark that lags; [views, milliseconds]."""

    def __init__(self):
        self.open, self.latest, self.closed, self.late, self.next = {}, -1, {}, 0, 0

    def add(self, at, page, took):
        window = at // WINDOW
        if window < self.next:
            self.late += 1
            return
        pages = self.open.get(window)
        if pages is None:
            pages = self.open[window] = {}
        sums = pages.get(page)
        if sums is None:
            pages[page] = [1, took]
        else:
            sums[0] += 1
            sums[1] += took
        if at > self.latest:
            self.latest = at
            if (at - LAG) // WINDOW > self.next:
                self.close((at - LAG) // WINDOW)

    def close(self, upto):
        for window in sorted(one for one in self.open if one < upto):
            for page, sums in self.open.pop(window).items():
                self.closed[window, page] = sums
        self.next = upto


def loop_views(rows):
    windows = Tumbling()
    add = windows.add
    for at, page, _, took in rows:
        add(at, page, took)
    windows.close(1 << 60)
    return {key: sums[0] for key, sums in windows.closed.items()}


def digest(counts):
    """What is compared between sides: how many keys, their sum, and a sum that depends on which key has which."""
    pairs = sorted((str(key), count) for key, count in counts.items())
    mixed = 0
    for key, count in pairs:
        for sign in f"{key}={count}":
            mixed = (mixed * 31 + ord(sign)) % (1 << 61)
    return {"keys": len(pairs), "sum": sum(count for _, count in pairs), "mixed": mixed}
