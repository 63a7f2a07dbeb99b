"""The interface between SSH and its observers, such as metrics and traces: events at the site as they happen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext


class Observer:
    """Ignores all events. Observers override the methods for their events, and raise no error."""

    def operation(self, name: str, pod: str = "") -> AbstractContextManager[None]:  # noqa: ARG002 - for subclasses
        """Around one operation at the site, such as submit or queue; what it raises passes through."""
        return nullcontext()

    def polled(self, seconds: float) -> None:
        """A poll of the site took so long, whether it succeeded or not."""

    def retried(self, what: str) -> None:
        """Something is asked again, since nothing of it had run."""

    def slurm_failed(self, command: str) -> None:
        """A command of Slurm said no."""


class Observers(Observer):
    """Several in one."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    @contextmanager
    def operation(self, name: str, pod: str = "") -> Iterator[None]:
        with ExitStack() as stack:
            for each in self._observers:
                stack.enter_context(each.operation(name, pod))
            yield

    def polled(self, seconds: float) -> None:
        for each in self._observers:
            each.polled(seconds)

    def retried(self, what: str) -> None:
        for each in self._observers:
            each.retried(what)

    def slurm_failed(self, command: str) -> None:
        for each in self._observers:
            each.slurm_failed(command)
