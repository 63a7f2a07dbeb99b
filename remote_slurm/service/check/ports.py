"""Which way leads to ports of a node: tried with a port that a step of a running job listens on."""

from __future__ import annotations

from remote_slurm.config import Via
from remote_slurm.errors import Code, NotSent, SiteError
from remote_slurm.service.check.findings import Finding
from remote_slurm.site.site import Site

PORTS = "node: ports"
_WAYS = {Via.SSH: "from the login node (ssh)", Via.SRUN: "through a step of the job (srun, with {program})"}
_REMEDY = "see the table of PortForward.Via in docs/port-forward.md for what each way requires"
# No program listens there: what is learned is whether the login node forwards at all
_ANY_PORT = 1


async def check_ports(site: Site, job_id: str, via: Via) -> Finding:
    """Try the ways that `via` allows."""
    try:
        job = await site.job(job_id)
    except SiteError as error:
        return Finding(PORTS, ok=False, message=str(error))
    if job is None or not job.node:
        return Finding(PORTS, ok=False, message=f"squeue does not list job {job_id} on a node any more")
    failed, program = await _failed_ways(site, job_id, job.node)
    wanted = [way for way in _WAYS if via in (way, Via.AUTO)]
    works = " and ".join(_WAYS[way].format(program=program) for way in wanted if way not in failed)
    why = "; ".join(failed[way] for way in wanted if way in failed)
    if not works:
        return Finding(PORTS, ok=False, message=f"ports of the node cannot be forwarded: {why}", remedy=_REMEDY)
    return Finding(PORTS, ok=True, message=f"forwarded {works}{f', not otherwise: {why}' if why else ''}")


async def _failed_ways(site: Site, job_id: str, node: str) -> tuple[dict[Via, str], str]:
    """The ways that do not work, with the reason, and the program of the node that forwards connections there."""
    failed, program, port = {}, "", None
    try:
        listener = await site.listen_in_job(job_id, node)
        program, port = listener.program, listener.port
    except NotSent as error:
        failed[Via.SRUN] = error.message
    try:
        (await site.open_port(node, port or _ANY_PORT)).close()
    except NotSent as error:
        if port or error.code is not Code.CONNECT_FAILED:
            failed[Via.SSH] = error.message
    return failed, program
