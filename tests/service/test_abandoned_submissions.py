"""A submission that was given up was reported as a failure, which no later sidecar may take back."""

import asyncio
from pathlib import Path

from remote_slurm.config import Config
from remote_slurm.domain.pod.model import CreateRequest, parse_pod
from remote_slurm.service.journal import Journal
from remote_slurm.service.pods import Pods
from tests.fake_site import FakeAccount, FakeSite
from tests.pods import Json, key, pod, request, sh
from tests.service.virtual_time import VirtualLoop

CONFIG = Config.model_validate(
    {"SSH": {"HostName": "h.example.org", "User": "u", "IdentityFile": "/k"}, "StateFolder": "/none"}
)


def test_it_stays_so_after_a_restart_also_where_its_job_comes_late(tmp_path: Path) -> None:
    loop = VirtualLoop()
    account, body = FakeAccount(loop.time), pod(sh("c", "true"))
    account.moods.append("killed before sbatch")
    reported: list[Json] = []

    async def serve(*bodies: Json) -> None:
        pods = Pods(FakeSite(account), CONFIG, Journal(tmp_path), clock=loop.time)
        pods.start()
        await asyncio.gather(
            *(pods.create(CreateRequest.parse(request(each))) for each in bodies), return_exceptions=True
        )
        await asyncio.sleep(600)
        reported.extend(pods.status([parse_pod(body, "status")])[0]["containers"])
        await pods.stop()

    loop.run_until_complete(serve(body))
    loop.run_until_complete(serve())
    account.ids[key(body)] = "101"  # sbatch printed it, long after
    loop.run_until_complete(serve())
    loop.close()
    ends = [each["state"]["terminated"] for each in reported]
    assert [end["exitCode"] for end in ends] == [1, 1, 1]
    assert all("Slurm never showed a job" in end["message"] for end in ends)
    assert account.runs == {}
