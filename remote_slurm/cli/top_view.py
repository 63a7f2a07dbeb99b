"""What `remote-slurm top` draws: the state that a sidecar returns -> lines of text. Nothing here touches a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from remote_slurm.cli.documents import Json
from remote_slurm.cli.durations import short as duration
from remote_slurm.cli.screen import Colour

_COLOURS = {
    "failed": Colour.BAD,
    "waiting": Colour.WARNING,
    "running": Colour.GOOD,
    "unknown": Colour.WARNING,
    "ending": Colour.QUIET,
    "succeeded": Colour.QUIET,
}
_TROUBLES = 5
_LATE_INTERVALS = 3
_LEAST_PODS = 3
_HEADER = ("STATE", "POD", "JOB", "NODE", "AGE", "REASON")

Paint = Callable[[str, Colour], str]


@dataclass(frozen=True, slots=True)
class Size:
    """Of the terminal; nothing is cut where there is none."""

    columns: int = 1_000_000
    lines: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """The pod that is marked, and the end of its log where that is shown."""

    pod: str = ""
    container: str = ""
    log: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """Draws states into a size, in colours or without."""

    size: Size
    paint: Paint

    def lines(self, state: Json, chosen: Chosen | None = None) -> list[str]:
        """At most as many lines as there is room for."""
        chosen = chosen or Chosen()
        top = [*self._site(state), "", *self._partitions(state), ""]
        bottom = self._log(chosen) if chosen.log is not None else self._troubles(state["troubles"])
        room = max(_LEAST_PODS, self.size.lines - len(top) - len(bottom) - 1)
        return [*top, *self._pods(state, chosen, room), *bottom][: self.size.lines]

    def _site(self, state: Json) -> Iterator[str]:
        site, counts = state["site"], state["counts"]
        verdict = f"reachable, by {site['host']}" if site["reachable"] else f"not reachable: {site['error']}"
        yield self._line(plain(f"remote-slurm  {site['address']}"))
        yield self._line(plain(verdict), Colour.GOOD if site["reachable"] else Colour.BAD)
        trip, age = site["roundTripSeconds"], site["lastPollSeconds"]
        figures = [
            f"round trip {'-' if trip is None else f'{trip * 1000:.0f} ms'}",
            f"last poll {'never' if age is None else f'{duration(int(age))} ago'}",
            *(f"{phase} {counts[phase]}" for phase in _COLOURS if counts.get(phase)),
            f"sessions {site['sessionsInUse']} of {site['sessionsLimit']}",
        ]
        late = age is not None and age > _LATE_INTERVALS * site["pollIntervalSeconds"]
        yield self._line("   ".join(figures), Colour.WARNING if late else None)
        for account in state.get("accounts", []):
            words = "reachable" if account["reachable"] else account["error"]
            yield self._line(plain(f"  {account['name']}: {words}"), None if account["reachable"] else Colour.BAD)

    def _partitions(self, state: Json) -> Iterator[str]:
        if not state["partitions"]:
            yield self._line("partitions: not known yet", Colour.QUIET)
            return
        shares = (
            f"{each['name']}{'*' if each['default'] else ''} "
            + (f"{each['free']} of {each['cpus']} CPUs free" if each["up"] else "down")
            for each in state["partitions"]
        )
        yield self._line(plain("partitions: " + ",  ".join(shares)))

    def _pods(self, state: Json, chosen: Chosen, room: int) -> Iterator[str]:
        pods = _around(state["pods"], chosen.pod, room - 1)
        cells = [_HEADER, *(_cells(pod) for pod in pods)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADER) - 1)]
        for row, pod in zip(cells, [None, *pods], strict=True):
            head = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
            mark = ">" if pod and pod["pod"] == chosen.pod else " "
            colour = _COLOURS[pod["phase"]] if pod else Colour.QUIET
            yield self._line(f"{mark} {head}  {row[-1]}".rstrip(), colour)
        if not pods:
            yield self._line("  there are no pods", Colour.QUIET)

    def _troubles(self, troubles: list[Json]) -> list[str]:
        if not troubles:
            return []
        lines = [self._line(_trouble(each)) for each in troubles[:_TROUBLES]]
        return ["", self._line("what failed lately", Colour.QUIET), *lines]

    def _log(self, chosen: Chosen) -> list[str]:
        room = max(5, self.size.lines // 2)
        lines = [self._line(plain(line)) for line in (chosen.log or "").rstrip("\n").split("\n")[-room:]]
        return ["", self._line(f"log of {plain(chosen.container)}", Colour.QUIET), *lines]

    def _line(self, text: str, colour: Colour | None = None) -> str:
        cut = text if len(text) <= self.size.columns else text[: self.size.columns - 1] + "…"
        return self.paint(cut, colour) if colour else cut


def plain(text: str) -> str:
    """Without signs that a terminal would obey: much of it comes from the site."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _cells(pod: Json) -> tuple[str, ...]:
    age, node = duration(pod["ageSeconds"]), pod.get("node")  # a sidecar of an earlier version sends no node
    cells = (pod["state"], pod["name"], pod["jobId"] or "-", node or "-", age, pod["reason"])
    return tuple(plain(cell) for cell in cells)


def _around(pods: list[Json], chosen: str, room: int) -> list[Json]:
    """As many as there is room for, with the chosen one among them."""
    index = next((number for number, pod in enumerate(pods) if pod["pod"] == chosen), 0)
    first = max(0, min(index - room // 2, len(pods) - room))
    return pods[first : first + room]


def _trouble(trouble: Json) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(trouble["time"]))
    facts = [
        f"{words} {trouble[key]}".strip()
        for key, words in (("pod", ""), ("job", "job"), ("state", ""), ("exit_code", "exit code"))
        if trouble.get(key) not in (None, "")
    ]
    tail = f" ({', '.join(facts)})" if facts else ""
    reason = f": {trouble['reason']}" if trouble.get("reason") else ""
    return plain(f"{clock}  {trouble['message']}{reason}{tail}")
