"""Which parts of the runner a job needs: those whose functions it calls, and those which these parts call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache

_DEFINED = re.compile(r"^(\w+)\(\)", re.MULTILINE)
# What precedes a command: a keyword, or a function that runs its arguments
_BEFORE = re.compile(r"\b(?:then|do|else|elif|if|while|until|run_watcher|trap|with_reserve|become)\b|!")
_COMMAND = re.compile(r"(?:^|[;&|({)'])[ \t]*(\w+)(?=[\s;&|)'\"]|$)", re.MULTILINE)
RUNNER = "runner.sh"
# Programs that a part or a wrapper starts; nothing sources them
_PROGRAMS = {"rank.sh", "pull.sh", "mounts.sh"}


def runner_with_parts(text: str, scripts: Mapping[str, bytes]) -> bytes:
    """Return runner.sh for a job: the runner and the parts that the job script `text` needs, in one file."""
    return _joined(tuple(scripts[name] for name in (RUNNER, *parts_used(text, scripts))))


@lru_cache(maxsize=64)  # jobs need the same few combinations
def _joined(scripts: tuple[bytes, ...]) -> bytes:
    return b"\n".join(scripts)


def parts_used(text: str, scripts: Mapping[str, bytes]) -> list[str]:
    """The names in `scripts` of the parts that the job script `text` needs, in the order of `scripts`.

    A word of the pod that is also the name of a function counts as a call: a part too many does no harm.
    """
    all_scripts = tuple(scripts.items())
    return list(_needed(frozenset(_providers(all_scripts).keys() & text.split()), all_scripts))


@lru_cache(maxsize=64)  # jobs need the same few combinations
def _needed(functions: frozenset[str], scripts: tuple[tuple[str, bytes], ...]) -> tuple[str, ...]:
    """The names of the parts that provide the functions, and of those that these parts call."""
    parts, provided = dict(scripts), _providers(scripts)
    wanted, found = functions, set[str]()
    while added := {provided[word] for word in wanted if word in provided} - found:
        found |= added
        wanted = frozenset(word for name in added for word in _called(parts[name], parts.get(RUNNER, b"")))
    return tuple(name for name in parts if name in found)


@lru_cache(maxsize=8)
def _providers(scripts: tuple[tuple[str, bytes], ...]) -> dict[str, str]:
    """The name of the part that provides a function."""
    runner = dict(scripts).get(RUNNER, b"")
    parts = ((name, script) for name, script in scripts if name not in {RUNNER, *_PROGRAMS})
    return {function: name for name, script in parts for function in _provided(script, runner)}


@cache
def _provided(script: bytes, runner: bytes) -> frozenset[str]:
    """The functions that the script adds: one that replaces a function of the runner is not what a job asks for."""
    return frozenset(_DEFINED.findall(script.decode())) - frozenset(_DEFINED.findall(runner.decode()))


@cache
def _called(script: bytes, runner: bytes) -> frozenset[str]:
    text = script.decode()
    own = frozenset(_DEFINED.findall(text))
    return frozenset(_COMMAND.findall(_BEFORE.sub(";", text))) - own - frozenset(_DEFINED.findall(runner.decode()))
