"""Thousands of pods as job arrays, while pods are deleted, jobs requeued, and whatever carries them is broken.

Only scripts/soak runs it. Tests of arrays, bursts and outages show one fault at a time.
`scripts/soak 20 tests/integration/test_array_soak.py -s` creates 2,000 pods, and as many as single jobs for comparison.
It prints what became of them. TEST_SITE_ACCOUNTED can name a site of another Slurm or other options.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

import pytest

from tests.fault_proxy import FaultProxy
from tests.hypothesis_settings import SOAK
from tests.integration.conftest import Through
from tests.pods import Json, key, pod, request, sh
from tests.serving import Serving, wait_until
from tests.sidecar import Client, Sidecar
from tests.sites import Site
from tests.vk import FINAL, Watched

pytestmark = pytest.mark.skipif(not SOAK, reason="only scripts/soak runs it")

PODS = 100 * SOAK
BURST = 100
KEYS = {"ContainerRuntime": "none", "PollInterval": 2, "VerboseLogging": False}
HOURS = 3600.0
# The exit code of a job that does not find its files any more
REQUEUED_LATE = 125


@dataclass
class Soak:
    site: Site
    proxy: FaultProxy
    serving: Serving
    start: Callable[..., Sidecar]
    chance: random.Random
    runs: str  # the folder at the site in which pods note their runs
    pods: dict[str, Watched] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)  # create was answered with an error: cancelled, or not
    requeued: dict[str, float] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    over: set[str] = field(default_factory=set)
    last_lines: dict[str, list[str]] = field(default_factory=dict)  # of a pod's runs, when it was reported as over
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def client(self) -> Client:
        return self.serving.client

    # --- pods ---

    def body(self, number: int) -> Json:
        """A pod that notes its runs, and ends with a code of its own."""
        note = 'echo "$0 $SLURM_JOB_ID ${SLURM_RESTART_COUNT:-0}"'
        container = sh("c", "")
        a_pod = pod(container, flags="--requeue")
        file = f"{self.runs}/{key(a_pod)}"
        seconds, code = self.chance.choice((0, 1, 3, 10)), number % 3
        script = f"{note} >>{file}; sleep {seconds}; {note.replace('$0', 'end')} >>{file}; exit {code}"
        container["args"] = [script.replace("$0", "start", 1)]
        self.codes[key(a_pod)] = code
        return request(a_pod)

    def create(self, body: Json) -> None:
        """Until it is accepted: a sidecar that is killed answers nothing."""
        until = time.monotonic() + HOURS
        while time.monotonic() < until:
            try:
                answer = self.client.create(body)
            except (OSError, HTTPException):
                time.sleep(0.5)
                continue
            with self.lock:
                self.pods[key(body["pod"])] = Watched(self.client, body["pod"])
                if answer.status != 200:
                    self.unsure.add(key(body["pod"]))
                    print(f"create: {answer}")
            return

    def look(self) -> None:
        """Ask for all pods that may go on, as interLink does, and check what is answered."""
        with self.lock:
            asked = {
                name: each for name, each in self.pods.items() if name not in self.over | self.deleted | self.unsure
            }
        if not asked:
            return
        try:
            answer = self.client.status(*(each.pod for each in asked.values()))
        except (OSError, HTTPException):
            return
        if answer.status != 200:
            return
        by_uid = {status["UID"]: status for status in answer.json}
        for each in asked.values():
            if status := by_uid.get(each.pod["metadata"]["uid"]):
                each.job = status["JID"]
                each.take([status])
        ended = [name for name, each in asked.items() if each.phase in FINAL]
        self._check_ends(ended)
        self.over |= set(ended)

    def _check_ends(self, ended: list[str]) -> None:
        """A pod that is reported as over has ended, with the code that is reported, or was stopped by Slurm.

        A slurmctld that is killed forgets jobs that it has started, and gives their ids to others: slurmd ends both.
        """
        runs = self.read_runs() if ended else {}
        for name in ended:
            lines = self.last_lines[name] = runs.get(name, [])
            code = self.pods[name].exit_code("c")
            has_ended = any(line.startswith("end ") for line in lines)
            stopped = not has_ended and code != 0
            self.done["stopped by Slurm"] += stopped
            # it may have ended just before it was requeued
            was_requeued = self.pods[name].job in self.requeued and code == REQUEUED_LATE
            right = stopped or was_requeued or (has_ended and code == self.codes[name])
            assert right, f"{name} {lines} {self.pods[name].job}: {self.pods[name].state('c')}\n{self.files(name)}"
            if stopped:
                print(f"stopped: {name} {lines} {self.pods[name].state('c')}")

    def read_runs(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for row in self.site.exec(f"cd {self.runs} && grep -r . . || :").splitlines():
            name, _, line = row.removeprefix("./").partition(":")
            found.setdefault(name, []).append(line)
        return found

    def files(self, name: str) -> str:
        """What the site has of a pod."""
        job = self.pods[name].job
        return self.site.exec(
            f"cd {self.serving.root} && ls -l .remote-slurm/*/{name}* {name} 2>&1; "
            f"tail -n 20 {name}/records/* {name}/*.out 2>&1; squeue --states=all | grep {job}; sacct -j {job} 2>&1 || :"
        )

    # --- faults ---

    def delete_some(self) -> None:
        for name in self._some(10, lambda _: True):
            self.delete(name)

    def delete(self, name: str) -> None:
        with self.lock:
            each = self.pods[name]
            self.deleted.add(name)
        for _ in range(100):
            try:
                assert self.client.delete(each.pod).status == 200
            except (OSError, HTTPException):
                time.sleep(0.5)
            else:
                return
        raise AssertionError("a delete was not accepted")

    def requeue_some(self) -> None:
        """Jobs that run: one that has ended would not find its files any more."""
        for name in self._some(3, lambda each: "running" in each.state("c") and bool(each.job)):
            job = self.pods[name].job
            # scontrol may fail although slurmctld has done it: a slow one answers late
            if not self.site.exec(f"grep '^end ' {self.runs}/{name} || scontrol requeue {job} >/dev/null 2>&1 || :"):
                self.requeued[job] = time.monotonic()

    def start_requeued(self) -> None:
        """Slurm would wait for two minutes."""
        ready = [job for job, since in self.requeued.items() if time.monotonic() - since > 5]
        for job in ready:
            self.site.exec(f"scontrol update JobId={job} StartTime=now+1 >/dev/null 2>&1 || :")
            self.requeued[job] = time.monotonic() + 20

    def cut(self) -> None:
        self.proxy.cut()

    def freeze(self) -> None:
        self.proxy.freeze()
        time.sleep(self.chance.uniform(0, 5))
        self.proxy.thaw()

    def restart_slurmctld(self) -> None:
        self.site.exec(f"site-daemon {self.chance.choice(('stop', 'kill'))} slurmctld")
        time.sleep(self.chance.uniform(0, 4))
        self.site.exec("site-daemon start slurmctld")

    def resume_nodes(self) -> None:
        """A job with the id of one that slurmctld has forgotten drains its node: Duplicate jobid."""
        self.site.exec('[ -z "$(sinfo --noheader -R)" ] || scontrol update nodename=ALL state=resume || :')

    def kill_the_sidecar(self) -> None:
        self.serving.sidecar.kill()
        time.sleep(self.chance.uniform(0, 2))
        self._start_another()

    def upgrade(self) -> None:
        """Two sidecars for some seconds, as during a rolling upgrade."""
        older = self.serving.sidecar
        self._start_another()
        time.sleep(self.chance.uniform(1, 6))
        older.kill()

    def _start_another(self) -> None:
        self.serving = Serving(self.site, self.serving.config, self.start(self.serving.config))
        with self.lock:
            for each in self.pods.values():
                each.client = self.client
                if each.job in self.requeued:
                    # while the job waits, a new sidecar does not know that it was requeued: it counts a restart less
                    each.status = None

    def _some(self, most: int, condition: Callable[[Watched], bool]) -> list[str]:
        with self.lock:
            gone = self.over | self.deleted | self.unsure
            names = [name for name, each in self.pods.items() if name not in gone and condition(each)]
        return self.chance.sample(names, min(len(names), self.chance.randint(1, most)))

    def break_something(self) -> None:
        often = {self.delete_some: 30, self.requeue_some: 30, self.cut: 15, self.freeze: 5}
        seldom = {self.kill_the_sidecar: 2, self.upgrade: 2, self.restart_slurmctld: 3}
        faults = often | seldom
        (fault,) = self.chance.choices(list(faults), list(faults.values()))
        self.done[fault.__name__] += 1
        fault()

    def until(self, condition: Callable[[], Any], what: str, *, calm: bool = False) -> None:
        until = time.monotonic() + HOURS
        while not condition():
            assert time.monotonic() < until, what
            self.start_requeued()
            self.resume_nodes()
            self.look()
            if not calm:
                self.break_something()
            time.sleep(1)


@pytest.fixture(params=["always", "off"])
def soak(
    accounted_site: Site, through: Through, sidecar: Callable[..., Sidecar], request: pytest.FixtureRequest
) -> Iterator[Soak]:
    chance = random.Random(SOAK)  # noqa: S311 - no secret
    proxy, serving = through(accounted_site, **KEYS, JobArrays=request.param)
    wait_until(lambda: serving.client.ping()["resources"]["pods"] != "0", "the site was asked")
    proxy.delay(0.1)
    runs = accounted_site.exec("runs=$(mktemp -d /tmp/soak-XXXXXX) && chmod 777 $runs && echo $runs").strip()
    soak = Soak(accounted_site, proxy, serving, sidecar, chance, runs)
    yield soak
    soak.resume_nodes()


def test_pods_of_arrays_run_once_whatever_breaks(soak: Soak) -> None:
    creates: list[Future[None]] = []
    began = time.monotonic()

    def unanswered() -> int:
        return [create.done() for create in creates].count(False)

    def unfinished() -> int:
        return PODS - len(soak.over | soak.deleted | soak.unsure)

    with ThreadPoolExecutor(BURST) as threads:
        for first in range(0, PODS, BURST):
            creates += [threads.submit(soak.create, soak.body(number)) for number in range(first, first + BURST)]
            soak.until(lambda: unanswered() < BURST / 4, "the burst is accepted")
        soak.until(lambda: unanswered() == 0, "all pods are accepted")
    for create in creates:
        create.result()
    soak.until(lambda: unfinished() < PODS / 20, "most pods have ended")
    soak.until(lambda: unfinished() == 0, "all pods have ended", calm=True)
    runs = soak.read_runs()
    tasks = sum("_" in each.job for each in soak.pods.values())
    print(f"{PODS} pods, {tasks} as tasks, in {time.monotonic() - began:.0f} s, {dict(soak.done)},")
    print(f"{len(soak.deleted)} deleted, {len(soak.unsure)} not accepted, {sum(map(len, runs.values()))} lines of runs")
    for lines in runs.values():
        starts = [line for line in lines if line.startswith("start ")]
        assert len(set(starts)) == len(starts), lines
        assert len({line.split()[1] for line in lines}) == 1, lines
    for name, lines in soak.last_lines.items():
        assert runs.get(name, []) == lines, "nothing ran after the end that was reported"
    for name in soak.pods.keys() - soak.deleted:
        soak.delete(name)
    serving = soak.serving
    wait_until(lambda: serving.folders == {".remote-slurm"}, "no folder is left", HOURS)
    wait_until(lambda: not serving.journal, "no delete is left", HOURS)
    active = "squeue --noheader --user=hpcuser --format=%o"
    wait_until(lambda: serving.root not in serving.site.exec(active), "no job is left", HOURS)
