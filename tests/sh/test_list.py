"""list.sh: what the folders tell of pods that nobody here has submitted."""

from pathlib import Path

import pytest
from account import Account
from pods import pod, request, sh

from remote_slurm.domain.payload import together
from remote_slurm.domain.plan import plan_job
from remote_slurm.domain.pod import CreateRequest
from remote_slurm.domain.script import payload
from remote_slurm.job import SCRIPTS
from remote_slurm.remote.listing import listing


def submitted(account: Account, annotations: dict[str, str]) -> Path:
    """The folder of a pod."""
    body = pod(sh("main", "true"), sh("side", "true"), initContainers=[sh("first", "true")], name="p")
    body["metadata"]["annotations"] |= annotations
    asked = CreateRequest.parse(request(body))
    files = payload(plan_job(asked, account.config), SCRIPTS, account.config)
    account.submit(asked.pod.key, together([files]))
    return account.root / asked.pod.key


@pytest.mark.parametrize("annotations", [{}, {"slurm-job.vk.io/pre-exec": "export A=1"}])
async def test_containers_are_listed_also_where_a_shell_of_the_pods_comes_before_them(
    account: Account, annotations: dict[str, str]
) -> None:
    submitted(account, annotations)
    (listed,) = await listing(account.site)
    assert (listed.name, listed.init_containers, listed.containers) == ("default/p", ("first",), ("main", "side"))
    assert listed.job_id == "101"


async def test_what_is_half_written_is_not_listed(account: Account) -> None:
    folder = submitted(account, {})
    (folder / "job.id").write_text("10")
    (folder / "records").mkdir()
    for name in (".side.77", "main"):
        (folder / "records" / name).write_text(f"v1 {folder.name} {name.strip('.')} running 1 0 0 0\n")
    (listed,) = await listing(account.site)
    assert listed.job_id == ""
    assert [record.container for record in listed.records] == ["main"]
