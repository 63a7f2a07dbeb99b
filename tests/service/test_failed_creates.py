"""A create that is answered with an error fails the pod for good in Kubernetes: whatever became of it must not run."""

import asyncio
from pathlib import Path

import pytest

from remote_slurm.config import Config
from remote_slurm.domain.pod.model import CreateRequest
from remote_slurm.errors import SiteError
from remote_slurm.service.journal import Journal
from remote_slurm.service.pods import Pods
from tests.fake_site import FakeAccount, FakeSite
from tests.pods import key, pod, request, sh
from tests.service.virtual_time import VirtualLoop

CONFIG = Config.model_validate(
    {"SSH": {"HostName": "h.example.org", "User": "u", "IdentityFile": "/k"}, "StateFolder": "/none"}
)


@pytest.mark.parametrize("fate", ["cut after", "frozen", "refused"])
def test_what_is_answered_with_an_error_is_taken_back(tmp_path: Path, fate: str) -> None:
    loop = VirtualLoop()
    account, body = FakeAccount(loop.time), pod(sh("c", "true"))
    line = FakeSite(account)

    async def run() -> None:
        pods = Pods(line, CONFIG, Journal(tmp_path), clock=loop.time)
        pods.start()
        await asyncio.sleep(1)
        line.fates.append(fate)
        line.down = fate != "refused"
        creating = asyncio.create_task(pods.create(CreateRequest.parse(request(body))))
        with pytest.raises(SiteError):
            await creating
        line.down = False
        await asyncio.sleep(120)
        await pods.stop()

    loop.run_until_complete(run())
    loop.close()
    assert key(body) in account.tombstones
    assert account.active(key(body)) == []
    assert list(Journal(tmp_path)) == []
