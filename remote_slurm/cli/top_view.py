"""What `remote-slurm top` draws: the state that a sidecar returns -> lines of text. Nothing here touches a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from remote_slurm.cli.durations import short
from remote_slurm.cli.screen import Colour
from remote_slurm.cli.tables import Column, cut_at_end, cut_in_middle, plain, shrunk, width_of

if TYPE_CHECKING:
    from remote_slurm.cli.documents import Json

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
# A terminal with fewer lines shows the site in one of them
_LEAST_LINES = 16
_NARROW = 60
_COLUMNS = (
    Column("STATE", rank=1, least=7),
    Column("POD", least=18, in_middle=True),
    Column("JOB", rank=3),
    Column("NODE", rank=4, least=8, in_middle=True),
    Column("AGE", rank=2),
    Column("REASON", rank=5, least=10),
)
_MARK = 2
KEYS = (
    "up down PgUp PgDn: pod   Enter: log   /: filter   q: end",
    "Enter: log  /: filter  q: end",
    "Enter  /  q",
)
LOG_KEYS = (
    "Tab: container   PgUp PgDn: scroll   up down: pod   Enter: close   q: end",
    "Tab: container  Enter: close",
    "Tab  PgUp  Enter",
)


@dataclass(frozen=True, slots=True)
class Size:
    """Of the terminal; nothing is cut where there is none."""

    columns: int = 1_000_000
    lines: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a person has chosen: the pod that is marked, its log and how far up that is scrolled, and the filter."""

    pod: str = ""
    container: str = ""
    log: str | None = None
    scrolled: int = 0
    find: str = ""
    typing: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the terminal."""

    text: str
    colour: Colour | None = None


def found(state: Json, find: str) -> list[Json]:
    """The pods that have the text of the filter in what is shown of them."""
    words = find.lower().split()
    return [pod for pod in state["pods"] if all(word in " ".join(_cells(pod)).lower() for word in words)]


def _failure(site: Json) -> str:
    """Why the site takes no pods; empty if it does. With an open connection, Slurm or DataRootFolder is the cause."""
    if site["reachable"]:  # a sidecar of an earlier version sends no storageError
        return f"pods cannot be stored: {site['storageError']}" if site.get("storageError") else ""
    state = "connected, but the poll fails" if site.get("connected") else "not reachable"
    return f"{state}: {site['error']}"


@dataclass(frozen=True, slots=True)
class Frame:
    """Draws states into a size."""

    size: Size

    def lines(self, state: Json, chosen: Chosen | None = None) -> list[Line]:
        """At most as many lines as there is room for."""
        chosen = chosen or Chosen()
        top = self._top(state)
        if chosen.log is not None:
            room = self.size.lines - len(top)
            pods = min(_LEAST_PODS if self._is_small else 8, room // 2)
            shown = [*self._pods(state, chosen, pods - 1)] if pods > 1 else []
            return [*top, *shown, *self._log(state, chosen, room - len(shown))][: self.size.lines]
        bottom = [] if self._is_small else self._troubles(state["troubles"])
        room = max(_LEAST_PODS, self.size.lines - len(top) - len(bottom) - (not self._is_small))
        return [*top, *self._pods(state, chosen, room), *bottom][: self.size.lines]

    @property
    def _is_small(self) -> bool:
        return self.size.lines < _LEAST_LINES

    def _top(self, state: Json) -> list[Line]:
        if self._is_small:
            return [self._summary(state)]
        return [*self._site(state), Line(""), *self._partitions(state), Line("")]

    def _summary(self, state: Json) -> Line:
        """The site in one line."""
        site = state["site"]
        if failure := _failure(site):
            return self._line(plain(failure), Colour.BAD)
        return self._line("  ".join(self._counts(state)) or "no pods", Colour.GOOD)

    def _counts(self, state: Json) -> list[str]:
        short_words = self.size.columns < _NARROW
        counts = state["counts"]
        return [f"{phase[:4] if short_words else phase} {counts[phase]}" for phase in _COLOURS if counts.get(phase)]

    def _site(self, state: Json) -> Iterator[Line]:
        site = state["site"]
        failure = _failure(site)
        yield self._line(plain(f"remote-slurm  {site['address']}"))
        yield self._line(plain(failure or f"reachable, by {site['host']}"), Colour.BAD if failure else Colour.GOOD)
        trip, age = site["roundTripSeconds"], site["lastPollSeconds"]
        figures = [
            f"round trip {'-' if trip is None else f'{trip * 1000:.0f} ms'}",
            f"last poll {'never' if age is None else f'{short(age)} ago'}",
            *self._counts(state),
            f"sessions {site['sessionsInUse']} of {site['sessionsLimit']}",
        ]
        late = age is not None and age > _LATE_INTERVALS * site["pollIntervalSeconds"]
        yield self._line("   ".join(figures), Colour.WARNING if late else None)
        for account in state.get("accounts", []):
            words = "reachable" if account["reachable"] else account["error"]
            yield self._line(plain(f"  {account['name']}: {words}"), None if account["reachable"] else Colour.BAD)

    def _partitions(self, state: Json) -> Iterator[Line]:
        if not state["partitions"]:
            yield self._line("partitions: not known yet", Colour.QUIET)
            return
        shares = (
            f"{each['name']}{'*' if each['default'] else ''} "
            + (f"{each['free']} of {each['cpus']} CPUs free" if each["up"] else "down")
            + _unusable_nodes(each)
            for each in state["partitions"]
        )
        title = "partitions" if state["site"]["reachable"] else "partitions before the failure"
        yield self._line(plain(f"{title}: " + ",  ".join(shares)))

    def _pods(self, state: Json, chosen: Chosen, room: int) -> Iterator[Line]:
        """A header, and as many pods as there is room for below it."""
        pods = found(state, chosen.find)
        texts = [_cells(pod) for pod in pods]
        columns = zip(_COLUMNS, *texts, strict=True)
        natural = [max(map(width_of, (column.title, *cells))) for column, *cells in columns]
        widths = shrunk(_COLUMNS, natural, self.size.columns - _MARK)
        yield self._row(tuple(column.title for column in _COLUMNS), widths, Colour.QUIET, " ")
        for pod in _around(pods, chosen.pod, room - 1):
            mark = ">" if pod["pod"] == chosen.pod else " "
            yield self._row(_cells(pod), widths, _COLOURS[pod["phase"]], mark)
        if not pods:
            words = f"no pod has {chosen.find!r}" if chosen.find else "there are no pods"
            yield self._line(plain(f"  {words}"), Colour.QUIET)

    def _row(self, cells: Sequence[str], widths: Sequence[int], colour: Colour, mark: str) -> Line:
        shown = []
        for column, cell, width in zip(_COLUMNS, cells, widths, strict=True):
            if width:
                text = (cut_in_middle if column.in_middle else cut_at_end)(cell, width)
                shown.append(text + " " * (width - width_of(text)))
        return self._line(f"{mark} {'  '.join(shown)}".rstrip(), colour)

    def _troubles(self, troubles: list[Json]) -> list[Line]:
        if not troubles:
            return []
        lines = [self._line(_trouble(each)) for each in troubles[:_TROUBLES]]
        return [Line(""), self._line("what failed lately", Colour.QUIET), *lines]

    def _log(self, state: Json, chosen: Chosen, room: int) -> list[Line]:
        """Its end, or what is above it; long lines are wrapped."""
        pod: Json = next((each for each in state["pods"] if each["pod"] == chosen.pod), {"containers": []})
        names = [each["name"] for each in pod["containers"]]
        several = len(names) > 1 and chosen.container in names
        place = f" ({names.index(chosen.container) + 1} of {len(names)})" if several else ""
        head = self._line(f"log of {plain(chosen.container)}{place}", Colour.QUIET)
        rows = [row for line in (chosen.log or "").rstrip("\n").split("\n") for row in self._wrapped(plain(line))]
        room = max(1, room - 1)
        end = max(min(room, len(rows)), len(rows) - chosen.scrolled)
        return [head, *(Line(row) for row in rows[max(0, end - room) : end])]

    def _wrapped(self, text: str) -> list[str]:
        width = self.size.columns
        return [text[at : at + width] for at in range(0, len(text), width)] or [""]

    def _line(self, text: str, colour: Colour | None = None) -> Line:
        return Line(cut_at_end(text, self.size.columns), colour)


def _unusable_nodes(partition: Json) -> str:
    nodes = partition.get("unusableNodes") or {}  # a sidecar of an earlier version sends none
    words = ", ".join(f"{count} {'node' if count == 1 else 'nodes'} {why}" for why, count in nodes.items())
    return f" ({words})" if words else ""


def hint(chosen: Chosen, state: Json | None, columns: int) -> str:
    """The last line: the filter, the place in the list, and the keys."""
    if chosen.typing:
        return cut_at_end(f"filter: {chosen.find}_  Enter: keep  Esc: clear", columns)
    pods = found(state, chosen.find) if state else []
    keys = [pod["pod"] for pod in pods]
    place = f"{keys.index(chosen.pod) + 1}/{len(keys)}" if chosen.pod in keys else str(len(keys))
    of = f" of {len(state['pods'])} with {chosen.find!r}" if state and chosen.find else ""
    keys_of = LOG_KEYS if chosen.log is not None else KEYS
    first = f"{place}{of}   "
    fitting = (each for each in keys_of if width_of(first + each) <= columns)
    return cut_at_end(first + next(fitting, keys_of[-1]), columns)


def _cells(pod: Json) -> tuple[str, ...]:
    age, node = short(pod["ageSeconds"]), pod.get("node")  # a sidecar of an earlier version sends no node
    cells = (pod["state"], pod["name"], pod["jobId"] or "-", node or "-", age, pod["reason"])
    return tuple(plain(cell) for cell in cells)


def _around(pods: list[Json], chosen: str, room: int) -> list[Json]:
    """Return as many pods as there is room for, including the chosen one."""
    index = next((number for number, pod in enumerate(pods) if pod["pod"] == chosen), 0)
    first = max(0, min(index - room // 2, len(pods) - room))
    return pods[first : first + max(0, room)]


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
