"""`scripts/bench`: runs the parts that are named, or all, and writes docs/benchmarks.md."""

from __future__ import annotations

import importlib
import sys
import time

import report

PARTS = ("create", "burst", "limits", "growth", "seeing", "logs", "ports", "footprint", "files", "slow", "pressure")


def main(words: list[str]) -> int:
    unknown = [word for word in words if word not in (*PARTS, "--write")]
    if unknown:
        print(f"bench: there is no part '{unknown[0]}': {', '.join(PARTS)}, or --write", file=sys.stderr)
        return 2
    for part in PARTS if not words else [word for word in words if word in PARTS]:
        begun = time.monotonic()
        print(f"{part}:", flush=True)
        importlib.import_module(part).measure().keep(part)
        print(f"  (took {time.monotonic() - begun:.0f} s)", flush=True)
    report.write(PARTS)
    return 0


sys.exit(main(sys.argv[1:]))
