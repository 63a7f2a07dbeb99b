"""What was measured: figures for the table, curves for the plots, kept as JSON between the parts' runs."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

KEPT = Path(__file__).parents[2] / "build" / "bench"


@dataclass(frozen=True)
class Figure:
    """A row of the table; `met` is None where nothing was promised."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None


@dataclass
class Curve:
    """A plot over the number of pods; a line has points of pods and value."""

    name: str
    title: str
    unit: str
    lines: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


@dataclass
class Measured:
    """One part's results."""

    title: str
    about: str
    figures: list[Figure] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    load: float | None = field(default_factory=lambda: os.getloadavg()[0])
    nice: int = field(default_factory=lambda: os.nice(0))
    taken: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()))

    def row(self, what: str, measured: str, target: str = "", *, met: bool | None = None) -> None:
        """Add a row, and print it."""
        self.figures.append(Figure(what, measured, target, met))
        verdict = {True: "met", False: "MISSED", None: ""}[met]
        print(f"  {what}: {measured} {f'({target}: {verdict})' if target else ''}", flush=True)

    def keep(self, part: str) -> None:
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / f"{part}.json").write_text(json.dumps(asdict(self), indent=1))


def kept(part: str) -> Measured | None:
    path = KEPT / f"{part}.json"
    if not path.exists():
        return None
    data = {"load": None, "nice": 0} | json.loads(path.read_text())
    data["figures"] = [Figure(**each) for each in data["figures"]]
    data["curves"] = [Curve(**each) for each in data["curves"]]
    return Measured(**data)


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def median_ms(values: Iterable[float]) -> float:
    return statistics.median(values) * 1000


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
