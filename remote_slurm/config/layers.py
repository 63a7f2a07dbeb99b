"""The file, the environment and `--set` laid over each other: one tree of text that knows its origins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from remote_slurm.config.model import Config
from remote_slurm.config.reading import NotYaml, read_yaml
from remote_slurm.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from remote_slurm.config.reading import Document, Where


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from: the name of its key in messages, and its line in the file."""

    form: str = "{}"
    line: int | None = None

    def problem(self, where: Where, message: str) -> Problem:
        """Name what is wrong with the value at a place that has this origin."""
        return Problem(self.form.format(dotted(where)), message, self.line)


_OVERRIDE = Origin("--set {}")


def dotted(where: Where) -> str:
    """Write a place as a key: `Taints[0].effect`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)
    return "".join(steps).removeprefix(".")


def environment_variables() -> dict[str, str]:
    """Map the environment variables to the keys that they win over."""
    fields = ((field.json_schema_extra, field.alias or name) for name, field in Config.model_fields.items())
    return {
        str(extra["environment"]): key for extra, key in fields if isinstance(extra, dict) and "environment" in extra
    }


@dataclass(slots=True)
class Layers:
    """The tree of values, their origins, and the problems of its form."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Where, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def origin(self, where: Where) -> Origin:
        """Find the origin of a place, or of the nearest block around it that was written down."""
        while where and where not in self.origins:
            where = where[:-1]
        return self.origins.get(where, Origin())

    def located(self, problem: Problem) -> Problem:
        """Add the origin of the value to a problem that names its key."""
        if not problem.key:
            return problem
        where = tuple(problem.key.split("."))
        return self.origin(where).problem(where, problem.message)

    def lay_file(self, document: Document) -> None:
        """Lay the file down; its value is a block of keys."""
        self.values = document.value
        self.origins = {where: Origin(line=line) for where, line in document.lines.items()}
        self.problems += [Origin(line=line).problem(where, message) for where, line, message in document.wrong]

    def lay_environment(self, environ: Mapping[str, str]) -> None:
        """Lay the environment over it; an empty variable counts as not set, as in the reference plugin."""
        for variable, key in environment_variables().items():
            if environ.get(variable):
                self._lay((key,), environ[variable], Origin(f"{variable} (environment)"))

    def lay_overrides(self, overrides: Iterable[str]) -> None:
        """Lay each `KEY=VALUE` over it: KEY may lead into a block (`SSH.Port`), VALUE is YAML."""
        for override in overrides:
            key, equals, text = override.partition("=")
            where: Where = tuple(key.strip().split("."))
            if not equals or not all(where):
                self._wrong((override,), "must have the form KEY=VALUE, such as SSH.Port=22")
                continue
            try:
                document = read_yaml(text, where)
            except NotYaml as error:
                self._wrong(where, f"must be a YAML value, in quotes where it holds YAML's own signs: {error}")
                continue
            self.problems += [_OVERRIDE.problem(place, message) for place, _, message in document.wrong]
            self._lay(where, "" if document.value is None else document.value, _OVERRIDE)

    def _lay(self, where: Where, value: Any, origin: Origin) -> None:
        block = self.values
        for depth, step in enumerate(where[:-1], start=1):
            inner = block.get(str(step)) or {}
            if not isinstance(inner, dict):
                self._wrong(where, f"leads into {dotted(where[:depth])}, which is not a block of keys")
                return
            block[str(step)] = dict(inner)  # a copy: YAML's aliases share blocks
            block = block[str(step)]
        block[str(where[-1])] = value
        self.origins = {at: was for at, was in self.origins.items() if at[: len(where)] != where}
        self.origins[where] = origin

    def _wrong(self, where: Where, message: str) -> None:
        self.problems.append(_OVERRIDE.problem(where, message))
