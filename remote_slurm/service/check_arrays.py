"""Whether like pods become job arrays here: by JobArrays, by the settings of Slurm, and by what sbatch accepts."""

from __future__ import annotations

from remote_slurm.config import Config, JobArrays
from remote_slurm.domain.plan.node_local_files import file_transfer
from remote_slurm.domain.slurm.flags import Flag
from remote_slurm.domain.slurm.scontrol import SlurmSettings
from remote_slurm.errors import SlurmFailed
from remote_slurm.service.check_submission import Asks, job_flags
from remote_slurm.service.findings import Holds, one_line
from remote_slurm.site.batcher import MOST_REQUESTS
from remote_slurm.site.operations import slurm_settings, try_submit

_MOST_WORDS = 300
_ALONE = "each pod is a job of its own"


class ArrayChecks:
    """`flags` are further sbatch options, such as those that the site requires."""

    def __init__(self, config: Config, site: Asks, flags: str = "") -> None:
        self._config = config
        self._site = site
        self._flags = flags

    async def arrays(self) -> Holds:
        """What the site allows, and whether arrays are used."""
        allowed, refused = await self._allowed()
        if self._config.job_arrays is JobArrays.OFF:
            return Holds(f"JobArrays is off: {_ALONE}; {allowed}")
        if file_transfer(self._config).reports_in_comment:
            return Holds(f"SHARED_FS is false: {_ALONE}; {allowed}")
        if refused:
            return Holds(f"{_ALONE}, since {allowed}", "set JobArrays to off, so that no array is tried")
        return Holds(f"like pods that arrive together are one array of at most {MOST_REQUESTS} tasks; {allowed}")

    async def _allowed(self) -> tuple[str, bool]:
        """Words, and whether the site accepts no array."""
        try:
            settings = await self._site.ask(slurm_settings.operation(self._config))
        except SlurmFailed:
            settings = SlurmSettings()
        size = settings.values.get("MaxArraySize", "")
        if size and not settings.array_size:
            return f"the site has no arrays (MaxArraySize is {size})", True
        flags = (*job_flags(self._config, self._flags), Flag("array", "0-1"))
        tried = await self._site.ask(try_submit.operation(self._config, [flags]))
        if tried and not tried[0].is_accepted:
            words = one_line("\n".join(tried[0].messages))[:_MOST_WORDS]
            return f"sbatch --test-only refuses an array: {words or f'exit code {tried[0].exit_code}'}", True
        return f"the site allows {settings.array_size or 'an unknown number of'} tasks (MaxArraySize)", False
