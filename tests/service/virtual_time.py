"""An event loop whose time passes as soon as nothing is left to do: minutes of waiting take no time."""

import asyncio
import threading

_BEGIN = 1000.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """For code that waits for nothing but timers, and for threads that render a pod: they take no time either."""

    def __init__(self) -> None:
        super().__init__()
        self._passed = 0.0

    @property
    def passed(self) -> float:
        """Seconds since the loop was made."""
        return self._passed

    def time(self) -> float:
        return _BEGIN + self._passed

    def _run_once(self) -> None:
        # in this order: a thread that has just rendered a pod has put its result among what is ready
        if not _is_rendering() and not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._passed = max(self._passed, self._scheduled[0].when() - _BEGIN)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def _is_rendering() -> bool:
    return any(thread.name == "render" for thread in threading.enumerate())
