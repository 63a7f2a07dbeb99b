"""What `remote-slurm check --job` says of the ways to ports of a node."""

import pytest

from remote_slurm.config import Via
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.errors import Code
from remote_slurm.service.check.ports import check_ports
from tests.fake_site import SlurmJob, instant_site
from tests.local_ports import echo, listening

BOTH = "forwarded from the login node (ssh) and through a step of the job (srun, with perl)"


@pytest.mark.parametrize(
    ("via", "forwards", "steps_fail", "message"),
    [
        ("auto", None, "", BOTH),
        ("ssh", None, "srun fails", "forwarded from the login node (ssh)"),
        ("srun", Code.NO_ANSWER, "", "forwarded through a step of the job (srun, with perl)"),
        (
            "auto",
            Code.FORWARDING_PROHIBITED,
            "",
            "forwarded through a step of the job (srun, with perl), not otherwise: the login node forwards nothing",
        ),
        ("auto", None, "srun fails", "forwarded from the login node (ssh), not otherwise: srun fails"),
        ("ssh", Code.NO_ANSWER, "", "ports of the node cannot be forwarded: the login node forwards nothing"),
        ("srun", None, "srun fails", "ports of the node cannot be forwarded: srun fails"),
        (
            "auto",
            Code.NO_ANSWER,
            "srun fails",
            "ports of the node cannot be forwarded: the login node forwards nothing; srun fails",
        ),
    ],
)
async def test_it_names_the_ways_that_work(via: str, forwards: Code | None, steps_fail: str, message: str) -> None:
    site = instant_site(SlurmJob("101", "team-x", JobState.RUNNING, node="n1"))
    site.account.forwards, site.account.steps_fail = forwards, steps_fail
    async with listening(echo) as local:
        site.account.ports["n1", local] = local
        found = await check_ports(site, "101", Via(via))
    assert found.message == message
    assert found.ok is message.startswith("forwarded")
    assert bool(found.remedy) is not found.ok


async def test_a_job_that_has_ended_is_named() -> None:
    found = await check_ports(instant_site(), "101", Via.AUTO)
    assert (found.ok, found.message) == (False, "squeue does not list job 101 on a node any more")


async def test_a_squeue_that_fails_is_named() -> None:
    site = instant_site(SlurmJob("101", "team-x", JobState.RUNNING, node="n1"))
    site.account.squeue_fails = "Unable to contact slurm controller"
    found = await check_ports(site, "101", Via.AUTO)
    assert (found.ok, found.message) == (False, "Unable to contact slurm controller")


@pytest.mark.parametrize("program", ["python3", "socat", "nc", "bash"])
async def test_it_names_the_program_of_the_node_that_forwards_connections(program: str) -> None:
    site = instant_site(SlurmJob("101", "team-x", JobState.RUNNING, node="n1"))
    site.account.relay = program
    async with listening(echo) as local:
        site.account.ports["n1", local] = local
        found = await check_ports(site, "101", Via.AUTO)
    assert found.ok
    assert found.message == BOTH.replace("perl", program)
