"""pull.sh: the cache of images, with a stand-in for the runtime, in every shell that a site may have as /bin/sh."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_slurm.domain.shell import words
from remote_slurm.job import SCRIPTS
from tests.site.account import SHELLS

# Writes its output when $HOLD is gone; fails while $BROKEN is there
_RUNTIME = """\
echo "pull $(ps -o ni= -p $$)" >>"$CALLS"
while [ -e "$HOLD" ]; do sleep 0.05; done
if [ -e "$BROKEN" ]; then echo "INFO:    Starting"; cat "$BROKEN"; exit 255; fi
printf '%s' "$3" >"$2"
"""
PATIENCE = 240  # seconds, of which one or two are enough on a machine that does nothing else
LONG_AGO = 1_000_000_000


class Site:
    """A folder with a cache and pods that share it."""

    def __init__(self, root: Path, shell: list[str]) -> None:
        self.root = root
        self.shell = shell
        self.cache = root / "cache"
        self.hold, self.broken, self._calls = root / "hold", root / "broken", root / "calls"
        runtime = root / "runtime"
        runtime.write_text(f"#!/bin/sh\n{_RUNTIME}")
        runtime.chmod(0o755)
        self.environment = os.environ | {
            "HOLD": str(self.hold),
            "BROKEN": str(self.broken),
            "CALLS": str(self._calls),
        }

    def pod(self, name: str, *images: str, policy: str = "IfNotPresent", **settings: str) -> Path:
        """Its images bring what they are called."""
        folder = self.root / name
        folder.mkdir()
        defaults = {"mode": "node", "retries": "1", "days": "30", "megabytes": "100"}
        lines = [f"{key}={value}" for key, value in (defaults | {"cache": "../cache"} | settings).items()]
        calls = [
            words(("image", f"{each}.sif", policy, f"docker://{each}", str(self.root / "runtime"), "--to", "@", each))
            for each in images
        ]
        (folder / "images").write_text("\n".join([*lines, "images() {", *calls, "}", ""]))
        (folder / "runtime.sh").write_text("")
        (folder / "secret/pull").mkdir(parents=True)
        (folder / "pull.sh").write_bytes(SCRIPTS["pull.sh"])
        return folder

    def start(self, verb: str, folder: Path, *key: str) -> subprocess.Popen[str]:
        command = [*self.shell, str(folder / "pull.sh"), verb, str(folder), *key]
        stdout = subprocess.PIPE if verb == "ask" else subprocess.DEVNULL
        return subprocess.Popen(command, env=self.environment, stdout=stdout, text=True, cwd=self.root, umask=0o022)

    def pull(self, folder: Path) -> int:
        return self.start("node", folder).wait(PATIENCE)

    def ask(self, folder: Path) -> str:
        said, _ = self.start("ask", folder).communicate(timeout=PATIENCE)
        return said.strip()

    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    def left(self) -> list[str]:
        """What a pull should not leave behind."""
        return [path.name for path in self.cache.iterdir() if ".claim." in path.name or ".part." in path.name]


@pytest.fixture(params=SHELLS, ids=" ".join)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Site(tmp_path, request.param)


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_an_image_is_pulled_once_and_the_pod_has_it(site: Site) -> None:
    for name in ("one", "two"):
        pod = site.pod(name, "app")
        assert site.pull(pod) == 0
        assert (pod / "image/app.sif").read_text() == "app"
    assert len(site.calls()) == 1
    assert site.left() == []


def test_what_it_writes_is_for_the_account_alone(site: Site) -> None:
    pod = site.pod("one", "app")
    assert site.pull(pod) == 0
    site.broken.touch()
    assert site.pull(site.pod("two", "other")) == 1
    written = [site.cache, *site.cache.rglob("*"), site.root / "two/image.failed.other.sif"]
    assert [path for path in written if path.exists() and not path.is_symlink() and path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize("policy", ["IfNotPresent", "Always"])
def test_who_comes_during_a_pull_waits_for_it(site: Site, policy: str) -> None:
    site.hold.touch()
    pods = [site.pod(f"p{number}", "app", policy=policy) for number in range(4)]
    running = [site.start("node", pod) for pod in pods]
    until(site.calls)
    assert all(each.poll() is None for each in running)
    site.hold.unlink()
    assert [each.wait(PATIENCE) for each in running] == [0] * 4
    assert len(site.calls()) == 1


def test_a_pull_that_died_is_taken_over(site: Site) -> None:
    claim = site.cache / ".app.sif.claim.1"
    claim.mkdir(parents=True)
    waiting = site.start("node", site.pod("one", "app"))
    time.sleep(1.5)
    assert waiting.poll() is None
    os.utime(claim, (LONG_AGO, LONG_AGO))
    assert waiting.wait(PATIENCE) == 0
    assert site.left() == []


def test_always_asks_again_and_running_pods_keep_what_they_have(site: Site) -> None:
    before = site.pod("before", "app", policy="Always")
    assert site.pull(before) == 0
    old = (before / "image/app.sif").stat().st_ino
    (site.root / "runtime").write_text("#!/bin/sh\nprintf 'new' >\"$2\"\n")
    after = site.pod("after", "app", policy="Always")
    assert site.pull(after) == 0
    assert (after / "image/app.sif").read_text() == "new"
    assert (before / "image/app.sif").stat().st_ino == old
    assert (before / "image/app.sif").read_text() == "app"


def test_always_asks_again_where_slurm_runs_the_job_again(site: Site) -> None:
    pod = site.pod("pod", "app", policy="Always")
    for times in (1, 2):
        assert site.pull(pod) == 0
        assert len(site.calls()) == times
    assert site.start("node", pod, "app.sif").wait(PATIENCE) == 0
    assert len(site.calls()) == 2, "who has failed in the same run waits for no second pull"


def test_an_image_that_has_not_changed_stays_the_same_file(site: Site) -> None:
    """Of which the pods have links: else each pull would keep another copy of it."""
    for name in ("one", "two"):
        assert site.pull(site.pod(name, "app", policy="Always")) == 0
    files = [site.cache / "app.sif", site.root / "one/image/app.sif", site.root / "two/image/app.sif"]
    assert len(site.calls()) == 2
    assert len({path.stat().st_ino for path in files}) == 1


def test_an_empty_file_is_no_image(site: Site) -> None:
    site.cache.mkdir()
    (site.cache / "app.sif").touch()
    assert site.pull(site.pod("one", "app")) == 0
    assert (site.root / "one/image/app.sif").read_text() == "app"


def with_login(pod: Path, *logins: str) -> Path:
    """A pod that has these users of the registry, the best match first."""
    for number, login in enumerate(logins):
        (pod / f"secret/pull/app.sif.{number}.sh").write_text(f"export LOGIN={login}\n")
    return pod


@pytest.mark.parametrize(
    ("logins", "tried", "code"),
    [(("good",), ["good"], 0), (("bad", "good"), ["bad", "good"], 0), (("bad", "worse"), ["bad", "worse"], 1)],
)
def test_each_login_for_the_registry_is_tried_and_no_other_one(
    site: Site, logins: tuple[str, ...], tried: list[str], code: int
) -> None:
    (site.root / "runtime").write_text('#!/bin/sh\necho "$LOGIN" >>"$CALLS"; [ "$LOGIN" = good ] && echo app >"$2"\n')
    assert site.pull(with_login(site.pod("one", "app"), *logins)) == code
    assert site.calls() == tried


def test_never_means_never(site: Site) -> None:
    pod = site.pod("one", "app", policy="Never")
    assert site.pull(pod) == 1
    assert "imagePullPolicy is Never" in (pod / "image.failed.app.sif").read_text()
    assert site.pull(site.pod("two", "app")) == 0
    assert site.pull(pod) == 0
    assert len(site.calls()) == 1


def test_a_failed_pull_reports_the_runtimes_message_and_leaves_nothing(site: Site) -> None:
    site.broken.write_text("FATAL:   no such image\n")
    pod = site.pod("one", "app")
    assert site.pull(pod) == 1
    reported = (pod / "image.failed.app.sif").read_text()
    assert reported.startswith("ErrImagePull image docker://app could not be pulled on ")
    assert reported.endswith(": FATAL:   no such image \n")
    assert site.left() == []
    site.broken.unlink()
    assert site.pull(pod) == 0


def test_the_end_of_a_long_message_of_a_runtime_is_reported(site: Site) -> None:
    site.broken.write_text("".join(f"line {number}\n" for number in range(10)))
    assert site.pull(site.pod("one", "app")) == 1
    assert (site.root / "one/image.failed.app.sif").read_text().endswith(": line 7 line 8 line 9 \n")
    site.broken.write_text("x" * 2000 + "\n")
    assert site.pull(site.pod("two", "app")) == 1
    assert (site.root / "two/image.failed.app.sif").read_text().endswith(": " + "x" * 500 + "\n")


def test_an_image_that_cannot_be_pulled_does_not_block_others(site: Site) -> None:
    pod = site.pod("one", "bad", "good")
    (site.root / "runtime").write_text('#!/bin/sh\necho "$3" >>"$CALLS"; [ "$3" != bad ] && echo ok >"$2"\n')
    assert site.pull(pod) == 1
    assert (pod / "image/good.sif").exists()
    assert [path.name for path in pod.glob("image.failed*")] == ["image.failed.bad.sif"]
    assert site.start("node", pod, "bad.sif").wait(PATIENCE) == 1
    assert site.calls() == ["bad", "good", "bad"]
    (site.root / "runtime").write_text('#!/bin/sh\necho ok >"$2"\n')
    assert site.start("node", pod, "bad.sif").wait(PATIENCE) == 0
    assert list(pod.glob("image.failed*")) == []


def test_a_pull_that_is_stopped_leaves_nothing(site: Site) -> None:
    site.hold.touch()
    running = site.start("node", site.pod("one", "app"))
    until(site.calls)
    running.terminate()
    assert running.wait(PATIENCE) == 143
    assert site.left() == []
    assert not (site.cache / "app.sif").exists()


# --- on a login node -------------------------------------------------------------------------------------------------


def test_a_login_node_pulls_one_image_at_a_time_in_a_nice_process(site: Site) -> None:
    site.hold.touch()
    pods = [
        site.pod("one", "a", mode="login"),
        site.pod("two", "b", mode="login"),
        site.pod("three", "a", mode="login"),
    ]
    assert [site.ask(pod) for pod in pods] == ["pulling docker://a", "pulling docker://b", "pulling docker://a"]
    until(site.calls)
    time.sleep(0.5)
    assert [call.split() for call in site.calls()] == [["pull", "19"]]
    site.hold.unlink()
    assert all((pod / "secret/pull").exists() for pod in pods)
    until(lambda: [site.ask(pod) for pod in pods] == ["ready"] * 3)
    assert not any((pod / "secret/pull").exists() for pod in pods)  # they are not needed any more
    assert len(site.calls()) == 2
    until(lambda: site.left() == [])
    assert [(pod / "image" / f"{name}.sif").read_text() for pod, name in zip(pods, "aba", strict=True)] == [
        "a",
        "b",
        "a",
    ]


def test_a_failure_is_tried_again_and_is_final_after_that(site: Site) -> None:
    site.broken.write_text("FATAL: out of order\n")
    pod = site.pod("one", "a", mode="login")
    site.ask(pod)
    until(lambda: site.ask(pod).startswith("failing ErrImagePull image docker://a could not be pulled"))
    until(lambda: site.left() == [])
    os.utime(pod / "image.failed", (LONG_AGO, LONG_AGO))
    assert site.ask(pod) == "pulling docker://a"
    until(lambda: site.ask(pod).startswith("failed ErrImagePull image docker://a could not be pulled"))
    assert len(site.calls()) == 2


@pytest.mark.parametrize("policy", ["IfNotPresent", "Always"])
def test_where_nothing_is_pulled_an_image_has_to_be_there(site: Site, policy: str) -> None:
    pod = site.pod("one", "a", mode="never", policy=policy)
    said = (
        f"ErrImageNeverPull image docker://a is not in the cache, and ImagePull is never: put it at {site.cache}/a.sif"
    )
    assert site.ask(pod) == f"failed {said}"
    assert site.pull(pod) == 1
    assert (pod / "image.failed.a.sif").read_text() == f"{said}\n"
    (site.cache / "a.sif").write_text("put there")
    assert site.ask(pod) == "ready"
    assert site.pull(pod) == 0
    assert site.calls() == []


def test_a_node_does_not_pull_if_login_nodes_pull(site: Site) -> None:
    pod = site.pod("one", "a", mode="login")
    assert site.pull(pod) == 1
    assert (pod / "image.failed.a.sif").read_text().endswith("is not in the cache, and ImagePull is login\n")
    (site.cache / "a.sif").write_text("put there")
    assert site.ask(pod) == "ready"
    (site.cache / "a.sif").unlink()  # it has left the cache meanwhile
    assert site.pull(pod) == 0
    assert site.calls() == []


def test_the_message_of_a_registry_becomes_one_line(site: Site) -> None:
    """Lines that begin with > are answers of submit.sh, also about other pods."""
    site.broken.write_text("FATAL: no\\n>submitted ns-other 1\\c\n")
    pod = site.pod("one", "a", mode="login")
    site.ask(pod)
    until(lambda: site.ask(pod).startswith("failing"))
    assert site.ask(pod).endswith(r": FATAL: no\n>submitted ns-other 1\c")


def test_a_worker_that_died_is_replaced(site: Site) -> None:
    claim = site.cache / ".work.claim.3"
    claim.mkdir(parents=True)
    pod = site.pod("one", "a", mode="login")
    assert site.ask(pod) == "pulling docker://a"
    time.sleep(0.5)
    assert site.calls() == []
    os.utime(claim, (LONG_AGO, LONG_AGO))
    until(lambda: site.ask(pod) == "ready")


def test_a_pod_that_was_deleted_leaves_the_queue(site: Site) -> None:
    site.hold.touch()
    gone, stays = site.pod("one", "a", mode="login"), site.pod("two", "b", mode="login")
    site.ask(gone)
    until(site.calls)
    late = site.pod("late", "c", mode="login")
    site.ask(late)
    site.ask(stays)
    subprocess.run(["rm", "-rf", late], check=True)
    site.hold.unlink()
    until(lambda: site.ask(stays) == "ready")
    assert len(site.calls()) == 2


# --- what leaves the cache -------------------------------------------------------------------------------------------


def test_an_unused_image_leaves_the_cache_and_stays_in_running_pods(site: Site) -> None:
    old = site.pod("old", "old")
    assert site.pull(old) == 0
    os.utime(site.cache / "old.sif", (LONG_AGO, LONG_AGO))
    assert site.pull(site.pod("new", "new")) == 0
    assert not (site.cache / "old.sif").exists()
    assert (old / "image/old.sif").read_text() == "old"
    subprocess.run(["rm", "-rf", old], check=True)
    assert site.pull(site.pod("newer", "newer")) == 0
    assert not (site.cache / ".users/old").exists()


def test_an_image_in_use_stays_in_the_cache(site: Site) -> None:
    assert site.pull(site.pod("one", "old")) == 0
    os.utime(site.cache / "old.sif", (LONG_AGO, LONG_AGO))
    assert site.pull(site.pod("two", "old")) == 0
    assert site.pull(site.pod("three", "new")) == 0
    assert (site.cache / "old.sif").exists()


def test_what_a_pull_that_was_killed_has_left_goes_after_a_day(site: Site) -> None:
    site.cache.mkdir()
    for name, days in ((".x.sif.part.old", 3), (".x.sif.part.new", 0.5)):
        (site.cache / name).touch()
        os.utime(site.cache / name, (time.time() - days * 86_400,) * 2)
    assert site.pull(site.pod("one", "app")) == 0
    assert [path.name for path in site.cache.glob(".x.*")] == [".x.sif.part.new"]


def test_the_one_that_was_just_pulled_stays_however_large(site: Site) -> None:
    (site.root / "runtime").write_text('#!/bin/sh\nhead -c 1200000 /dev/urandom >"$2"\n')
    assert site.pull(site.pod("one", "a", megabytes="1")) == 0
    assert (site.cache / "a.sif").stat().st_size == 1_200_000


def test_when_it_is_too_large_the_oldest_goes_first(site: Site) -> None:
    (site.root / "runtime").write_text('#!/bin/sh\nhead -c 1200000 /dev/urandom >"$2"\n')
    for age, name in enumerate("abc"):
        assert site.pull(site.pod(name, name)) == 0
        os.utime(site.cache / f"{name}.sif", (time.time() - 3600 + age,) * 2)
    assert site.pull(site.pod("d", "d", megabytes="3")) == 0
    assert sorted(path.name for path in site.cache.iterdir() if not path.name.startswith(".")) == ["c.sif", "d.sif"]
