"""Whether pods with identical sbatch options become job arrays.

JobArrays, the settings of Slurm and what sbatch accepts decide that.
"""

from __future__ import annotations

from remote_slurm.config import Config, JobArrays
from remote_slurm.domain.plan.node_local_files import file_transfer
from remote_slurm.domain.runtimes.registry import RUNTIMES
from remote_slurm.domain.slurm.flags import Flag
from remote_slurm.domain.slurm.scontrol import SlurmSettings
from remote_slurm.errors import SlurmFailed
from remote_slurm.service.check.findings import Passed
from remote_slurm.service.check.submission import AnswersOperations, job_flags, words_of_sbatch
from remote_slurm.site.batcher import MOST_REQUESTS
from remote_slurm.site.operations import slurm_settings, try_submit

_ALONE = "each pod is a job of its own"


async def check_arrays(config: Config, site: AnswersOperations, flags: str = "") -> Passed:
    """What the site allows, and whether arrays are used. `flags` are options that the site requires."""
    allowed, refused = await _allowed(config, site, flags)
    if config.job_arrays is JobArrays.OFF:
        return Passed(f"JobArrays is off: {_ALONE}; {allowed}")
    if config.job_arrays is JobArrays.AUTO and not RUNTIMES.configure(config).starts_containers:
        return Passed(f"ContainerRuntime is none, and JobArrays is auto: {_ALONE}; {allowed}")
    if file_transfer(config).reports_in_comment:
        return Passed(f"SHARED_FS is false: {_ALONE}; {allowed}")
    if refused:
        return Passed(f"{_ALONE}, since {allowed}", "set JobArrays to off, so that no array is tried")
    tasks = f"at most {MOST_REQUESTS} tasks"
    return Passed(f"pods with identical sbatch options that arrive together are one array of {tasks}; {allowed}")


async def _allowed(config: Config, site: AnswersOperations, flags: str) -> tuple[str, bool]:
    """Words, and whether the site accepts no array."""
    try:
        settings = await site.ask(slurm_settings.operation(config))
    except SlurmFailed:
        settings = SlurmSettings()
    if settings.has_no_arrays:
        return f"the site has no arrays (MaxArraySize is {settings.values['MaxArraySize']})", True
    options = (*job_flags(config, flags), Flag("array", "0-1"))
    tried = await site.ask(try_submit.operation(config, [options]))
    if tried and not tried[0].is_accepted:
        return f"sbatch --test-only refuses an array: {words_of_sbatch(tried[0])}", True
    return f"the site allows {settings.array_size or 'an unknown number of'} tasks (MaxArraySize)", False
