"""Arrays while two sidecars serve, slurmctld restarts, and Slurm forgets jobs: no pod is lost, none runs twice.

`scripts/soak 20 tests/integration/test_array_faults.py` repeats it at other moments, with more pods.
"""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.hypothesis_settings import SOAK
from tests.integration.conftest import Through
from tests.pods import Json, key, pod, request, sh
from tests.serving import Serve, wait_until
from tests.sites import Site
from tests.vk import Watched

PODS = 60 if SOAK else 16
KEYS = {"ContainerRuntime": "none", "JobArrays": "always", "PollInterval": 1}


def counted(number: int) -> Json:
    """A pod that adds a line to a file whenever it runs, and has an exit code of its own.

    It starts after the restart: a slurmctld that is stopped after it has allocated a node may never launch the job.
    """
    each = pod(sh("c", ""), flags="--begin=now+8")
    each["spec"]["containers"][0]["args"] = [f"echo ran >>/tmp/ran-{key(each)}; exit {number % 5}"]
    return request(each)


@pytest.mark.parametrize("moment", range(SOAK or 1))
def test_arrays_of_two_sidecars_while_slurmctld_restarts(
    accounted_site: Site, through: Through, serve: Serve, moment: int
) -> None:
    """squeue forgets a job two seconds after its end."""
    site, chance = accounted_site, random.Random(moment)  # noqa: S311 - the same moments each time
    proxy, older = through(site, **KEYS)
    wait_until(lambda: older.client.ping()["resources"]["pods"] != "0", "the site was asked")
    proxy.delay(0.2)
    bodies = [counted(number) for number in range(PODS)]
    with ThreadPoolExecutor(2 * PODS) as threads:
        first = [threads.submit(older.client.create, body) for body in bodies]
        time.sleep(chance.uniform(0, 1))
        site.exec("site-daemon stop slurmctld")
        try:
            newer = serve(site, **KEYS, DataRootFolder=older.root, StateFolder=str(older.state_folder))
            second = [threads.submit(newer.client.create, body) for body in bodies]
            time.sleep(chance.uniform(0, 2))
        finally:
            site.exec("site-daemon start slurmctld")
        answers = [each.result() for each in (*first, *second)]
    assert {answer.status for answer in answers} == {200}
    for number, body in enumerate(bodies):
        watched = Watched(newer.client, body["pod"])
        assert watched.until_over().exit_code("c") == number % 5
    ran = site.exec(f"cd /tmp && wc -l {' '.join('ran-' + key(body['pod']) for body in bodies)} | grep -v total")
    assert [line.split()[0] for line in ran.splitlines()] == ["1"] * PODS
    assert site.exec(f"ls {older.root}/.remote-slurm/arrays"), "there were arrays"
