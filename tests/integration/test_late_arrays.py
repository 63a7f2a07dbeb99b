"""An sbatch of an array whose answer is lost, and that reaches slurmctld after the sidecar has given the array up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remote_slurm.config.load import load_config
from remote_slurm.domain.pod.model import CreateRequest, parse_pod
from remote_slurm.service.journal import Journal
from remote_slurm.service.pods import Pods
from remote_slurm.service.submitter import SubmissionTimeouts
from remote_slurm.site.remote_site import RemoteSite
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.sessions import Sessions
from tests.hypothesis_settings import SOAK
from tests.pods import Json, key, pod, request, sh
from tests.sites import Site

PODS = 12
FOLDER = "/home/hpcuser/.late"

# sbatch has read the script, and asked nothing of slurmctld yet
WAIT_IN_SBATCH = f"""
function slurm_cli_setup_defaults(options, early) return slurm.SUCCESS end
function slurm_cli_pre_submit(options, offset)
    os.execute("echo >>{FOLDER}/waits; while [ ! -e {FOLDER}/go ]; do sleep 0.1; done")
    return slurm.SUCCESS
end
function slurm_cli_post_submit(offset, job, step) return slurm.SUCCESS end
return slurm.SUCCESS
"""
# The first sbatch of an array is late, and its answer is lost
SBATCH = f"""\
#!/bin/bash
if [[ $* = *--array=* ]] && mkdir {FOLDER}/first 2>/dev/null; then
    SLURM_CONF={FOLDER}/slurm.conf setsid sbatch "$@" >{FOLDER}/answer 2>&1 &
    until [ -e {FOLDER}/waits ]; do sleep 0.1; done
    kill -KILL $$
fi
exec sbatch "$@"
"""


@asynccontextmanager
async def impatient(site: Site, folder: Path) -> AsyncIterator[tuple[Pods, str]]:
    """A sidecar that searches for three seconds instead of four minutes, and its DataRootFolder."""
    keys = {"ContainerRuntime": "none", "JobArrays": "always", "SbatchPath": f"{FOLDER}/sbatch"}
    config = load_config(site.config(folder, **keys), {})
    connection = Connection(config.ssh)
    sessions = Sessions(connection)
    timeouts = SubmissionTimeouts(search=3)
    pods = Pods(RemoteSite(sessions, config, owner=True), config, Journal(config.state_folder), timeouts)
    pods.start()
    try:
        yield pods, config.data_root_folder
    finally:
        await pods.stop()
        await sessions.close()
        await connection.close()


def counted() -> Json:
    each = pod(sh("c", ""))
    each["spec"]["containers"][0]["args"] = [f"echo ran >>/tmp/late-{key(each)}; sleep 2"]
    return each


@pytest.fixture
def late(each_site: Site) -> Site:
    """A site at which the sbatch of the first array is late."""
    each_site.exec(f"rm -rf {FOLDER}")
    each_site.write(f"{FOLDER}/sbatch", SBATCH, "755")
    each_site.write(f"{FOLDER}/cli_filter.lua", WAIT_IN_SBATCH)
    each_site.exec(f"{{ cat /etc/slurm/slurm.conf; echo CliFilterPlugins=lua; }} >{FOLDER}/slurm.conf")
    return each_site


async def until_ended(sidecar: Pods, bodies: list[Json]) -> list[Json]:
    """The statuses of the pods once their containers have ended."""
    pods = [parse_pod(each, "a test") for each in bodies]
    async with asyncio.timeout(240):
        while True:
            statuses = sidecar.status(pods)
            if all("terminated" in each["containers"][0]["state"] for each in statuses):
                return statuses
            await asyncio.sleep(0.2)


GIVEN_UP = "after it was given up"
OTHERS = ("while it is searched for", "after the pods have ended")


@pytest.mark.parametrize("seen", [GIVEN_UP, *(OTHERS if SOAK else ())])
async def test_an_array_that_comes_late_runs_no_pod_twice(late: Site, tmp_path: Path, seen: str) -> None:
    bodies = [counted() for _ in range(PODS)]
    async with impatient(late, tmp_path) as (sidecar, root):
        creates = [asyncio.create_task(sidecar.create(CreateRequest.parse(request(each)))) for each in bodies]
        if seen == "while it is searched for":
            await until(late, f"[ -e {FOLDER}/waits ]")
            late.exec(f"touch {FOLDER}/go")
        elif seen == GIVEN_UP:
            await until(late, f"readlink {root}/.remote-slurm/arrays/*/fence | grep -q void")
            late.exec(f"touch {FOLDER}/go")
        await asyncio.gather(*creates)
        before = await until_ended(sidecar, bodies)
        late.exec(f"touch {FOLDER}/go")
        await until(late, f"grep -q . {FOLDER}/answer")
        (array,) = {each for each in late.exec(f"cat {FOLDER}/answer").split() if each.isdigit()}
        await until(late, f'[ -z "$(squeue --noheader --jobs={array} --format=%i 2>/dev/null)" ]')
        jobs = {each["JID"].partition("_")[0] for each in before}
        assert (array in jobs) == (seen == "while it is searched for")
        await asyncio.sleep(3)
        assert [each["JID"] for each in sidecar.status([parse_pod(each, "a test") for each in bodies])] == [
            each["JID"] for each in before
        ]
        assert {each["containers"][0]["state"]["terminated"]["exitCode"] for each in before} == {0}
    ran = late.exec(f"cat {' '.join(f'/tmp/late-{key(each)}' for each in bodies)}")
    assert ran == "ran\n" * PODS


async def until(site: Site, condition: str) -> None:
    async with asyncio.timeout(240):
        while True:
            if "yes" in await asyncio.to_thread(site.exec, f"{{ {condition}; }} >/dev/null 2>&1 && echo yes || :"):
                return
            await asyncio.sleep(0.2)
