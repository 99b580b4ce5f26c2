"""What the demo shop is made of: sizes, dates, and the words that occur in it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

__all__ = ["DAYS", "FIRST_DAY", "FORM", "Shape"]

FORM = 1
"""Grows when other rows come out of the same seed, so that an older demo is made anew."""

FIRST_DAY = datetime.date(2026, 8, 3)  # a Monday
DAYS = 90
HISTORY_DAYS = 730
"""Orders go back further than the events do."""

OUTAGE = (37, 11, 15)
"""Day, first and last hour in which the shop was down: no session begins."""
SALE_DAY = 61


@dataclass(frozen=True)
class Shape:
    """How much is made, and from which seed. The same shape gives the same rows."""

    scale: float = 1.0
    seed: int = 7

    def _times(self, count: int) -> int:
        return max(20, round(count * self.scale))

    @property
    def customers(self) -> int:
        return self._times(20_000)

    @property
    def items(self) -> int:
        return 1000

    @property
    def orders(self) -> int:
        return self._times(300_000)

    @property
    def sessions(self) -> int:
        """About two million events at scale 1."""
        return self._times(331_000)

    @property
    def clients(self) -> int:
        return self._times(140_000)

    @property
    def bots(self) -> int:
        return 6

    @property
    def bot_events(self) -> int:
        """Of each bot."""
        return self._times(5_000)


COUNTRIES = {
    "DE": 12, "US": 10, "FR": 7, "GB": 6, "PL": 4, "NL": 4, "AT": 3, "CH": 3, "IT": 3, "ES": 3, "SE": 2, "BR": 2,
    "JP": 1,
}  # fmt: skip
DEVICES = {"mobile": 29, "desktop": 18, "tablet": 3}

# source, medium, campaign, referrer, weight
CHANNELS = [
    ("(direct)", "(none)", None, None, 14),
    ("google", "organic", None, "https://www.google.com/", 13),
    ("google", "cpc", "brand", "https://www.google.com/", 5),
    ("google", "cpc", "generic_gifts", "https://www.google.com/", 4),
    ("bing", "organic", None, "https://www.bing.com/", 2),
    ("newsletter", "email", "weekly_news", None, 4),
    ("instagram", "social", None, "https://www.instagram.com/", 3),
    ("facebook", "paid_social", "lookalike_eu", "https://www.facebook.com/", 3),
    ("blog.example", "referral", None, "https://blog.example/best-mugs", 1),
    ("prices.example", "referral", None, "https://prices.example/", 1),
]

CATEGORIES = ["mugs", "notebooks", "lamps", "bags", "posters", "toys", "plants", "cushions", "clocks", "candles"]
ADJECTIVES = ["small", "large", "striped", "plain", "glazed", "folding", "wooden", "woven", "bright", "quiet"]
BRANDS = ["Ålborg", "Kiosk & Co.", "Nordlys", "Ombra", "Papier d'Or", "Tidewater", "Zürn", "Hinode 日の出"]
GIVEN = [
    "Ada", "Ben", "Chloé", "David", "Elif", "Finn", "Grażyna", "Hana", "Ivan", "Jörg", "Keiko", "Lena", "Marta", "Noah",
    "Olga", "Paulo", "Quinn", "René", "Søren", "Tomás", "Ursula", "Victor", "Wei", "Yara", "Zoë",
]  # fmt: skip
FAMILY = [
    "Andersen", "Bauer", "Costa", "Dubois", "Eriksson", "Fischer", "García", "Huber", "Ito", "Jansen", "Kowalski",
    "Lopez", "Müller", "Novak", "O'Brien", "Petit", "Rossi", "Schmidt", "Tanaka", "Ulrich", "Van Dijk", "Weber",
    "Young", "Zhang",
]  # fmt: skip
WEEK = [1.0, 0.97, 0.95, 1.0, 1.08, 1.28, 1.22]
HOURS = [
    0.30, 0.20, 0.15, 0.12, 0.12, 0.18, 0.35, 0.60, 0.85, 0.95, 1.00, 1.05,
    1.15, 1.05, 1.00, 1.00, 1.05, 1.15, 1.30, 1.45, 1.50, 1.35, 0.95, 0.55,
]  # fmt: skip
