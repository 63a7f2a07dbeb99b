"""docs/benchmarks.md and its plots, from what the parts have measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path

import matplotlib as mpl
from figures import Curve, Figure, Measured, kept

DOCS = Path(__file__).parents[2] / "docs"
PLOTS = DOCS / "benchmarks"

_HEAD = """\
# Benchmarks

`scripts/bench` measured these values at real sites (`scripts/site`: sshd, Slurm {slurm}) on one machine:
{machine}.
Run `scripts/bench` to measure your own machine. The values of a section are from one run, and ratios compare
alternating measurements. The site uses one half of the processors, the sidecar the other half. Clients and the network
use whichever half is idle (before 2026-12-01, that of the sidecar). The test suite asserts none of these times.

"""

_TAIL = """\
## Limits of these measurements

- **The network is a proxy** that delays bytes by half a round trip. It has no TCP slow start, loss, jitter or limited
  bandwidth. On a real path, the first data of a connection, or more data than TCP's window, takes more round trips. A
  connection that has transferred more than the pod is closer to the proxy.
- **Slurm has no other users**: no fair share, no thousand nodes. slurmctld runs on the login node, and its state is
  on a local disk. A slower sbatch simulates a busy Slurm.
- **The file system is local.** On NFS or Lustre, each file takes longer, and a record or a log line may appear later.
- **Everything shares the memory and disks of one machine**, and its processors with other programs. Times are medians
  unless stated otherwise. Ratios are more meaningful than absolute times. Under a load of several times the
  processors, a missed target of milliseconds says little about an idle machine; compare it with the empty reply or
  the quickest round in the same table.
"""


def write(parts: Iterable[str]) -> None:
    """Write the sections of all parts that this checkout has measured. Other sections stay as they are."""
    PLOTS.mkdir(exist_ok=True)
    page = DOCS / "benchmarks.md"
    sections = _sections(page.read_text())
    for measured in filter(None, map(kept, parts)):
        sections[measured.title] = _section(measured)
    page.write_text(_HEAD.format(machine=_machine(), slurm="24.11") + "".join(sections.values()) + _TAIL)


def _sections(page: str) -> dict[str, str]:
    """The sections of the page by title, without the one about limits."""
    found = page.removesuffix(_TAIL).split("\n## ")[1:]
    return {section.partition("\n")[0]: f"## {section.rstrip()}\n\n" for section in found}


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} processors ({model}), {memory:.0f} GiB, Linux {'.'.join(platform.release().split('.')[:2])}"
    )


def _section(measured: Measured) -> str:
    plots = "".join(f"![{curve.title}](benchmarks/{_plot(curve)})\n" for curve in measured.curves)
    load = "" if measured.load is None else f" The load of other programs before it was {measured.load:.1f}."
    load += f" The measured programs had priority over them (nice {measured.nice})." if measured.nice else ""
    return (
        f"## {measured.title}\n\n{measured.about} Taken {measured.taken}.{load}\n\n"
        "| What | Measured | Target | |\n|---|---|---|---|\n"
        + "".join(_row(figure) for figure in measured.figures)
        + (f"\n{plots}" if plots else "")
        + "\n"
    )


def _row(figure: Figure) -> str:
    verdict = {True: "met", False: "**missed**", None: ""}[figure.met]
    return f"| {figure.what} | {figure.measured} | {figure.target} | {verdict} |\n"


def _plot(curve: Curve) -> str:
    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "remote-slurm", "font.size": 9})
    from matplotlib import pyplot as plt  # once the backend is chosen
    from matplotlib import ticker

    figure, axes = plt.subplots(figsize=(4.2, 2.6), layout="constrained")
    for name, points in curve.lines.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name)
    axes.set(xscale="log", yscale="log", xlabel="pods", ylabel=curve.unit, title=curve.title)
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    top, bottom = axes.get_ylim()[1], axes.get_ylim()[0]
    if top < 10 * bottom:  # a decade at least, or noise looks like growth
        axes.set_ylim(bottom / 3, top * 3)
    axes.set_xticks(list(_pods(curve)), [f"{pods:,.0f}" for pods in _pods(curve)])
    axes.grid(visible=True, alpha=0.3)
    name = f"{curve.name}.svg"
    figure.savefig(PLOTS / name, metadata={"Date": None})
    plt.close(figure)
    return name


def _pods(curve: Curve) -> Iterator[float]:
    yield from sorted({pods for points in curve.lines.values() for pods, _ in points})
