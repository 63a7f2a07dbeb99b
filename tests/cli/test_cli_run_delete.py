"""When `run` has deleted its pod."""

import io

from remote_slurm.cli.client import SidecarClient
from remote_slurm.cli.documents import Json
from remote_slurm.cli.run import remove
from remote_slurm.cli.screen import Screen

POD = {"metadata": {"name": "p", "namespace": "default", "uid": "1"}}


class Accepting(SidecarClient):
    """A sidecar that accepts deletes."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def delete(self, pod: Json) -> None:
        del pod
        self.calls.append("delete")

    async def gone(self, folder: str) -> None:
        self.calls.append(f"gone {folder}")


async def test_a_sidecar_that_runs_carries_the_delete_out() -> None:
    sidecar = Accepting()
    await remove(sidecar, POD, Screen(io.StringIO()), waits=False)
    assert sidecar.calls == ["delete"]


async def test_a_sidecar_inside_the_command_is_waited_for() -> None:
    sidecar = Accepting()
    await remove(sidecar, POD, Screen(io.StringIO()))
    assert sidecar.calls == ["delete", "gone default-1"]
