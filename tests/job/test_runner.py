"""runner.sh, by running it with a real bash in a folder that is laid out as at a site."""

import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from remote_slurm.domain.records import ContainerPhase
from remote_slurm.domain.shell import quote, words
from remote_slurm.job import SCRIPTS
from tests.job.node import GRACE, PATIENCE, POD, Ended, Node, sh, until

# --- one container ----------------------------------------------------------------------------------------------------


def test_a_container_runs_and_is_recorded(node: Node) -> None:
    before = int(time.time())
    assert node.run(f"container main {sh('echo out; echo err >&2; cat')}") == Ended(0, "")
    assert node.log("main") == "out\nerr\n", "both streams, and its standard input is empty"
    record = node.ended("main")
    assert (record.pod, record.container, record.exit_code, record.signal) == (POD, "main", 0, 0)
    assert before <= record.started <= record.finished <= time.time()


def test_a_record_lies_in_folder_and_spool_with_nothing_beside(node: Node) -> None:
    node.run(f"container main {sh('exit 3')}")
    assert [path.name for path in (node.pod / "records").iterdir()] == ["main"]
    assert [path.name for path in (node.control / "spool").iterdir()] == [f"{POD}.main"]
    record = (node.pod / "records" / "main").read_text().splitlines(keepends=True)[0]
    assert (node.control / "spool" / f"{POD}.main").read_text() == record


def test_a_running_container_has_a_record_and_the_claim_names_the_job(node: Node) -> None:
    job = node.start(f"container main {sh('until [ -e go ]; do sleep 0.02; done')}", job="4711")
    until(lambda: node.is_running("main"))
    assert (node.control / "claims" / f"{POD}.job").readlink() == Path("4711")
    (node.pod / "go").touch()
    assert job.end().code == 0


def test_what_runs_for_long_is_looked_at_once_a_second(node: Node) -> None:
    calls = 'pause_in_silence() { echo "$1" >>"pauses.$BASHPID"; read -r -t 0.01 -u "$silence"; return 0; }'
    job = node.start(f"{calls}\ncontainer main {sh('until [ -e go ]; do sleep 0.02; done; exit 3')}")

    def pauses() -> list[list[str]]:
        """For the job, for the container's supervisor, and of what watches its log: none starts a process."""
        return [path.read_text().split() for path in node.pod.glob("pauses.*")]

    until(lambda: len(pauses()) == 3 and all(each[-9:] == ["1"] * 9 for each in pauses()))
    (node.pod / "go").touch()
    assert job.end().code == 3


def test_files_of_ours_are_for_the_owner_only(node: Node) -> None:
    node.run(f"container main {sh('true')}")
    for path in (node.pod / "records" / "main", node.pod / "logs" / "main.log"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_container_has_the_umask_of_every_container_runtime(node: Node) -> None:
    node.run(f"init_container init {sh('umask; : >by-init')}\ncontainer main {sh('umask; mkdir by-main')}")
    assert [node.log(name) for name in ("init", "main")] == ["0022\n", "0022\n"]
    assert (node.pod / "by-init").stat().st_mode & 0o777 == 0o644
    assert (node.pod / "by-main").stat().st_mode & 0o777 == 0o755
    for path in ("records/init", "logs/main.log"):
        assert (node.pod / path).stat().st_mode & 0o077 == 0


def test_a_hook_has_the_same_umask(node: Node) -> None:
    hook = f"exec_in_container {sh('umask >hooked')}"
    node.run(f"exec_mode clone\npost_start {hook}\ncontainer main {sh('until [ -s hooked ]; do sleep 0.02; done')}")
    assert (node.pod / "hooked").read_text() == "0022\n"


@pytest.mark.parametrize(
    ("command", "code", "signalled"),
    [
        (sh("exit 0"), 0, 0),
        (sh("exit 1"), 1, 0),
        (sh("exit 128"), 128, 0),
        (sh("exit 255"), 255, 0),
        (sh("kill -KILL $$"), 137, 9),
        (sh("kill -TERM $$"), 143, 15),
        (sh("kill -SEGV $$"), 139, 11),
        ("no-such-command", 128, 0),
        ("/etc", 128, 0),
    ],
)
def test_exit_codes(node: Node, command: str, code: int, signalled: int) -> None:
    assert node.run(f"container main {command}").code == code
    assert (node.ended("main").exit_code, node.ended("main").signal) == (code, signalled)


HOSTILE = [
    "", " ", " leading", "trailing ", "-n", "-e", "--", "a\nb", "\n", "a\tb", "$(touch x)", "`touch x`", "$HOME", "a'b",
    'a"b', 'a"=0"', "a'; echo foo", "\\", "a\\nb", "!", "!!", "*", "?", "~", "#", "a;b", "a&b", "a|b", "a>x", "{a,b}",
    "ünï", "日本", "\x01", "%s", "A=B", "=", "(", "]",
]  # fmt: skip


def test_every_argument_arrives_byte_for_byte(node: Node) -> None:
    command = words(["sh", "-c", 'for each; do printf "%s\\0" "$each"; done', "sh", *HOSTILE])
    assert node.run(f"container main {command}").code == 0
    assert node.log("main").split("\0")[:-1] == HOSTILE
    assert sorted(path.name for path in node.pod.iterdir()) == sorted(["job.sh", "logs", "records", *SCRIPTS])


def test_a_job_has_few_files_as_file_systems_of_sites_count_them(node: Node) -> None:
    job = node.start(
        f"record_usage\nprotect_from_purge 60\ncontainer main {sh('echo one; until [ -e go ]; do sleep 0.02; done')}"
    )
    until(lambda: noted(node))
    assert files(node) == {"job.sh", ".reserve", "secret", "secret/token", *RESULTS}
    (node.pod / "go").touch()
    assert job.end().code == 0
    assert files(node) == {"job.sh", "go", *RESULTS}


def test_a_spool_that_a_purge_has_removed_is_made_again(node: Node) -> None:
    (node.control / "spool").rmdir()
    assert node.run(f"container main {sh('exit 3')}").code == 3
    assert (node.ended("main").exit_code, node.ended("main").message) == (3, "")
    record = (node.pod / "records" / "main").read_text().splitlines()[0]
    assert (node.control / "spool" / f"{POD}.main").read_text() == f"{record}\n"


def test_a_reserve_that_a_purge_has_removed_is_not_a_full_file_system(node: Node) -> None:
    assert node.run(f"container main {sh('rm .reserve; exit 3')}").code == 3
    assert node.ended("main").message == ""


def test_a_job_removes_the_file_with_its_id_since_the_fence_has_it(node: Node) -> None:
    for written, kept in (("7\n", False), ("8\n", True), ("70\n", True)):
        (node.pod / "job.id").write_text(written)
        assert node.run("container main true", job="7").code == 0
        assert (node.pod / "job.id").exists() is kept


@pytest.mark.parametrize(("printed", "code"), [("", 0), ("", 3), ("words", 0)])
def test_an_empty_output_file_is_removed_when_a_job_succeeds(node: Node, printed: str, code: int) -> None:
    (node.pod / "job-7.out").write_text(printed)
    assert node.run(f"container main {sh(f'exit {code}')}", job="7").code == code
    assert (node.pod / "job-7.out").exists() is bool(printed or code)


RESULTS = ("logs", "logs/main.log", "records", "records/main")


def files(node: Node) -> set[str]:
    return {str(path.relative_to(node.pod)) for path in node.pod.rglob("*")} - SCRIPTS.keys()


# --- several ----------------------------------------------------------------------------------------------------------


def test_containers_run_side_by_side(node: Node) -> None:
    meet = "touch {0}; until [ -e {1} ]; do sleep 0.02; done"
    calls = f"container a {sh(meet.format('here', 'there'))}\ncontainer b {sh(meet.format('there', 'here'))}"
    assert node.run(calls).code == 0


@pytest.mark.parametrize(("codes", "worst"), [((0, 0), 0), ((0, 3, 1), 3), ((255, 3), 255), ((1, 0), 1)])
def test_the_jobs_exit_code_is_the_highest(node: Node, codes: tuple[int, ...], worst: int) -> None:
    calls = "\n".join(f"container c{number} {sh(f'exit {code}')}" for number, code in enumerate(codes))
    assert node.run(calls).code == worst
    assert [node.ended(f"c{number}").exit_code for number in range(len(codes))] == list(codes)


def test_each_end_is_recorded_when_it_happens(node: Node) -> None:
    slow = sh("until [ -e go ]; do sleep 0.02; done")
    job = node.start(f"container slow {slow}\ncontainer quick {sh('exit 5')}")
    until(lambda: (record := node.record("quick")) and record.phase is ContainerPhase.TERMINATED)
    assert node.is_running("slow")
    (node.pod / "go").touch()
    assert job.end().code == 5


def test_init_containers_run_one_after_another_before_all_others(node: Node) -> None:
    calls = [
        f"init_container one {sh('sleep 0.1; echo one >>order')}",
        f"init_container two {sh('echo two >>order')}",
        f"container main {sh('echo main >>order')}",
    ]
    assert node.run("\n".join(calls)).code == 0
    assert (node.pod / "order").read_text().split() == ["one", "two", "main"]


def test_a_failed_init_container_ends_the_pod_and_every_other_is_recorded(node: Node) -> None:
    calls = [
        f"init_container one {sh('exit 3')}",
        f"init_container two {sh('touch ran')}",
        f"container main {sh('touch ran')}",
    ]
    assert node.run("\n".join(calls)).code == 3
    assert not (node.pod / "ran").exists()
    assert node.ended("one").exit_code == 3
    for name in ("two", "main"):
        record = node.ended(name)
        assert (record.exit_code, record.message) == (1, "not started: init container one ended with exit code 3")


def test_what_a_container_leaves_running_ends_with_it(node: Node) -> None:
    assert node.run(f"container main {sh('sleep 300 & exit 4')}").code == 4
    node.until_empty()


def test_secrets_are_gone_when_the_job_is(node: Node) -> None:
    node.run(f"container main {sh('test -e secret/token')}\ncontainer bad {sh('exit 1')}")
    assert node.ended("main").exit_code == 0
    assert not (node.pod / "secret").exists()


# --- the fence --------------------------------------------------------------------------------------------------------


def test_a_second_job_starts_nothing(node: Node) -> None:
    first = node.start(f"container main {sh('echo first; until [ -e go ]; do sleep 0.02; done')}", job="7")
    until(lambda: node.is_running("main"))
    second = node.run(f"container main {sh('echo second')}", job="8")
    assert second == Ended(1, "remote-slurm: this pod belongs to job 7; job 8 starts nothing\n")
    assert (node.pod / "secret").exists(), "they are the first job's"
    (node.pod / "go").touch()
    assert first.end().code == 0
    assert node.log("main") == "first\n"


def test_of_many_jobs_one_runs(node: Node) -> None:
    jobs = [node.start(f"container main {sh('echo ran >>times; sleep 0.3')}", job=str(each)) for each in range(8)]
    assert sorted(job.end().code for job in jobs) == [0, 1, 1, 1, 1, 1, 1, 1]
    assert (node.pod / "times").read_text() == "ran\n"


def test_a_deleted_pod_starts_nothing(node: Node) -> None:
    (node.control / "claims" / f"{POD}.deleted").touch()
    ended = node.run(f"container main {sh('touch ran')}")
    assert ended == Ended(1, "remote-slurm: this pod was deleted; job 7 starts nothing\n")
    assert not (node.pod / "ran").exists()


def test_a_delete_that_has_the_fence_is_reported_as_a_delete(node: Node) -> None:
    (node.control / "claims" / f"{POD}.deleted").touch()
    (node.control / "claims" / f"{POD}.job").symlink_to("deleted")
    assert node.run("container main true").output == "remote-slurm: this pod was deleted; job 7 starts nothing\n"


def test_a_delete_that_comes_right_before_the_claim_is_seen_after_it(node: Node) -> None:
    path = program(node, "ln", f'touch "{node.control}/claims/{POD}.deleted"')
    ended = node.run(f"container main {sh('touch ran')}", prefix=path)
    assert ended == Ended(1, "remote-slurm: this pod was deleted; job 7 starts nothing\n")
    assert not (node.pod / "ran").exists()


def program(node: Node, name: str, first: str) -> str:
    """A program that does something before it is what it is, as the line that puts it in its place."""
    folder = node.root / "bin"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f'#!/bin/sh\n{first}\nexec {shutil.which(name)} "$@"\n')
    (folder / name).chmod(0o755)
    return f'PATH="{folder}:$PATH"'


@pytest.mark.parametrize(
    ("fence", "sentence"),
    [
        (f"deleted/{POD}.job", "this pod was deleted"),
        ("void", "this pod was given up before its job appeared in Slurm"),
    ],
)
def test_a_pod_that_was_given_up_starts_nothing(node: Node, fence: str, sentence: str) -> None:
    (node.control / "claims" / f"{POD}.job").symlink_to(fence)
    ended = node.run(f"container main {sh('touch ran')}")
    assert ended == Ended(1, f"remote-slurm: {sentence}; job 7 starts nothing\n")
    assert not (node.pod / "ran").exists()


def test_without_a_fence_nothing_starts_and_the_log_says_why(node: Node) -> None:
    (node.control / "claims").rmdir()
    ended = node.run(f"container main {sh('touch ran')}")
    assert ended.code == 1
    assert "the fence of this pod cannot be created, so job 7 starts nothing: " in ended.output
    assert ended.output.endswith(": No such file or directory\n")
    assert not (node.pod / "ran").exists()


def test_a_requeued_job_runs_again_and_forgets_how_it_ended_before(node: Node) -> None:
    calls = f"init_container one {sh('test -e go')}\ncontainer main {sh('until [ -e on ]; do sleep 0.02; done')}"
    assert node.run(calls, job="7").code == 1
    assert node.ended("main").exit_code == 1
    (node.pod / "go").touch()
    again = node.start(calls, job="7")
    until(lambda: node.is_running("main"))
    assert node.ended("one").exit_code == 0
    (node.pod / "on").touch()
    assert again.end().code == 0


def test_nothing_that_a_killed_run_has_left_holds_for_the_next_one(node: Node) -> None:
    """Slurm may have killed it while it was ending: its records, why it ended, and that it did."""
    for folder in ("records", ".runner"):
        (node.pod / folder).mkdir()
    (node.pod / "records" / "main").write_text(f"v1 {POD} main terminated 1 2 0 0 record=9 restarts=0 \t\n")
    for name in (".stopping", ".runner/over"):
        (node.pod / name).write_text("1\n")
    (node.pod / ".evicted").write_text("Evicted volume v holds too much\n")
    (node.pod / ".runner" / "init.no-image").write_text("ErrImagePull\0no image\0")
    calls = [
        f"init_container init {sh('until [ -e go ]; do sleep 0.02; done')}",
        f"container main {sh(EXITS.format(0))}",
    ]
    job = node.start("\n".join(calls))
    until(lambda: node.is_running("init"))
    assert node.record("main") is None
    (node.pod / "go").touch()
    until(lambda: node.is_running("main") and node.log("main") == "ready\n")
    job.term()
    assert job.end().code == 143
    assert (node.ended("main").exit_code, node.ended("main").message) == (143, "the job was told to stop")


# --- stops ------------------------------------------------------------------------------------------------------------

IGNORES = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
EXITS = "trap 'exit {}' TERM; echo ready; while :; do sleep 0.05; done"


def stop(node: Node, *containers: str, grace: int = GRACE, written: str = "") -> Ended:
    """Stop a job once each of its containers says that it is ready; `told` is the delete's own grace."""
    names = [f"c{number}" for number in range(len(containers))]
    calls = "\n".join(f"container {name} {sh(script)}" for name, script in zip(names, containers, strict=True))
    job = node.start(calls, grace=grace)
    for name in names:
        until(lambda name=name: (node.pod / "logs" / f"{name}.log").exists() and node.log(name) == "ready\n")
        until(lambda name=name: node.is_running(name))
    if written:
        (node.control / f"claims/{POD}.stop").mkdir()
        (node.control / f"claims/{POD}.stop/grace").write_text(written)
    job.term()
    return job.end()


def test_term_is_passed_on(node: Node) -> None:
    assert stop(node, "echo ready; exec sleep 300").code == 143
    assert (node.ended("c0").exit_code, node.ended("c0").signal) == (143, 15)
    assert not (node.pod / "secret").exists()


def test_an_interrupt_is_a_stop(node: Node) -> None:
    """As a pod may have it with a --signal of its own."""
    job = node.start(f"container main {sh(EXITS.format(6))}")
    until(lambda: node.is_running("main") and node.log("main") == "ready\n")
    job.process.send_signal(signal.SIGINT)
    assert job.end().code == 6
    assert node.ended("main").message == "the job was told to stop"


@pytest.mark.parametrize(
    ("notice", "end", "near"),
    [
        ("time_limit_notice 45", "$(($(date +%s) + 100))", True),  # Slurm signals up to a minute earlier
        ("time_limit_notice 45", "$(($(date +%s) + 300))", False),
        ("time_limit_notice 45", "Unknown", False),
        ("time_limit_notice 45", "", False),
        ("true", "$(($(date +%s) + 100))", False),
    ],
)
def test_a_stop_shortly_before_the_time_limit_names_the_limit(node: Node, notice: str, end: str, *, near: bool) -> None:
    job = node.start(f"{notice}\ncontainer main sleep 300", prefix=f'export SLURM_JOB_END_TIME="{end}"')
    until(lambda: node.is_running("main"))
    job.term()
    assert job.end().code == 143
    words = "the job was about to reach its time limit" if near else "the job was told to stop"
    assert node.ended("main").message == words


def test_every_container_gets_it_and_may_choose_its_exit_code(node: Node) -> None:
    codes = [7, 9, 11, 13, 17, 19, 21, 23, 25, 27]
    assert stop(node, *(EXITS.format(code) for code in codes)).code == 27
    assert [node.ended(f"c{number}").exit_code for number in range(len(codes))] == codes


def test_success_after_term_is_no_success(node: Node) -> None:
    assert stop(node, EXITS.format(0)).code == 143
    assert node.ended("c0").exit_code == 143


def test_who_ignores_it_is_killed_after_the_grace_period(node: Node) -> None:
    assert stop(node, IGNORES, grace=1).code == 137
    record = node.ended("c0")
    assert (record.exit_code, record.signal) == (137, 9)


def test_the_grace_period_is_kept(node: Node) -> None:
    assert stop(node, "trap 'sleep 1; exit 5' TERM; echo ready; while :; do sleep 0.05; done").code == 5


def test_a_delete_may_shorten_it(node: Node) -> None:
    assert stop(node, IGNORES, written="1\n").code == 137


def test_a_delete_may_make_it_longer(node: Node) -> None:
    script = "trap 'sleep 4; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    assert stop(node, script, grace=2, written="60\n").code == 5


@pytest.mark.parametrize("written", ["soon\n", "-1\n", "\n", "1.5\n", "a[$(touch hacked)]\n"])
def test_what_is_no_number_of_seconds_changes_nothing(node: Node, written: str) -> None:
    assert (
        stop(node, "trap 'sleep 3; exit 5' TERM; echo ready; while :; do sleep 0.05; done", written=written).code == 5
    )
    assert not (node.pod / "hacked").exists()


def test_there_are_two_seconds_at_least_as_on_a_kubelet(node: Node) -> None:
    assert stop(node, "trap 'sleep 0.5; exit 5' TERM; echo ready; while :; do sleep 0.05; done", grace=0).code == 5


def test_a_grace_period_that_is_not_used_up_leaves_nothing_waiting_for_it(node: Node) -> None:
    stop(node, EXITS.format(3), grace=300)
    node.until_empty()


def test_children_of_a_container_are_signalled_too(node: Node) -> None:
    assert stop(node, "sleep 300 & sleep 300 & echo ready; wait").code == 143
    node.until_empty()


def test_a_container_gets_one_signal_for_two_stops(node: Node) -> None:
    # not `sleep & wait`: a shell loses a signal that comes right before its `wait`
    script = "trap 'echo told; sleep 0.5; exit 6' TERM; echo ready; while :; do sleep 0.05; done"
    job = node.start(f"container main {sh(script)}")
    until(lambda: node.is_running("main") and node.log("main") == "ready\n")
    for _ in range(5):
        job.term()
        time.sleep(0.02)
    assert job.end().code == 6
    assert node.log("main") == "ready\ntold\n"


def test_during_init_nothing_else_starts(node: Node) -> None:
    calls = [
        f"init_container one {sh('echo ready; exec sleep 300')}",
        f"init_container two {sh('touch ran')}",
        f"container main {sh('touch ran')}",
    ]
    job = node.start("\n".join(calls))
    until(lambda: node.is_running("one"))
    job.term()
    assert job.end().code == 143
    assert not (node.pod / "ran").exists()
    assert [node.ended(name).exit_code for name in ("one", "two", "main")] == [143, 1, 1]
    assert node.ended("main").message == "not started: the job was told to stop"


@pytest.mark.parametrize("step", range(12))
def test_at_any_moment_of_the_start_it_ends_all(node: Node, step: int) -> None:
    """Between any two of the runner's own steps, too: everything ends, and whatever was started has a record."""
    names = ["init", "a", "b", "c"]
    calls = f"init_container init {sh('exit 0')}\n" + "\n".join(f"container {name} sleep 300" for name in names[1:])
    job = node.start(calls, grace=1)
    until((node.pod / "records").exists)
    time.sleep(step * 0.004)
    job.term()
    code = job.end().code
    assert code != 0
    if code > 0:  # else bash had not come to the trap, and nothing had been started
        assert [node.ended(name).container for name in names] == names
        assert all(node.ended(name).exit_code for name in names[1:])


def test_containers_do_not_learn_that_their_job_is_a_task_of_an_array(node: Node) -> None:
    """Submitit, Lightning and Hydra would take the pod for a part of the array's work."""
    prefix = "export SLURM_ARRAY_JOB_ID=40 SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_COUNT=9 SLURM_ARRAY_TASK_MAX=8"
    assert node.run("container main env", prefix=prefix).code == 0
    assert str((node.control / f"claims/{POD}.job").readlink()) == "40_3"
    assert "SLURM_JOB_ID=7\n" in node.log("main")
    assert "SLURM_ARRAY" not in node.log("main")


def test_a_stop_during_a_start_ends_it_on_a_full_disk(node: Node) -> None:
    """As on a full disk: no file tells what supervises it that the job was told to stop."""
    calls = [
        "ln -s /no/such/folder .stopping",
        "set -T; trap '[[ $BASH_COMMAND != supervise* ]] || kill -TERM $$' DEBUG",
        f"container main {sh('exec sleep 300')}",
    ]
    assert node.run("\n".join(calls), grace=1).code != 0  # so early, it may not even have begun to run, or to listen
    assert node.ended("main").message.endswith("the job was told to stop")


def test_a_container_is_recorded_after_its_supervisor_was_killed(node: Node) -> None:
    parent = sh("echo $PPID; exec sleep 300")
    job = node.start(f"container main {parent}\ncontainer other {sh('exit 2')}")
    until(lambda: node.is_running("main") and node.log("main").endswith("\n"))
    os.kill(int(node.log("main")), signal.SIGKILL)
    assert job.process.wait(PATIENCE) == 137
    record = node.ended("main")
    assert (record.exit_code, record.signal, record.message) == (137, 9, "the process that watched it was killed")
    assert record.number == 2, "it comes after the one that it runs"
    node.clear()
    job.end()


def test_what_is_recorded_of_one_that_was_killed_is_not_said_of_the_next(node: Node) -> None:
    again = sh(
        "echo >>runs; [ $(wc -l <runs) -ge 2 ] || exit 3; "
        "until grep -q restarts=1 records/init; do sleep 0.01; done; kill -KILL $PPID; exec sleep 300"
    )
    job = node.start(f"restart_policy OnFailure\ninit_container init {again}\ncontainer main true")
    assert job.process.wait(PATIENCE) == 137
    assert (node.ended("init").restarts, node.ended("main").restarts) == (1, 0)
    node.clear()
    job.end()


def test_an_end_that_comes_together_with_a_signal_is_seen(node: Node) -> None:
    """bash's own `wait` forgets a process that ends then, after a few dozen of these at most (bash 5.2)."""
    job = node.start("""
    trap 'interrupted=yes' USR1
    sleep 300 & beside=$!
    for time in {1..150}; do
        (sleep 0.003; exit 7) & ends=$!
        (sleep 0.003; kill -USR1 $$) &
        await "$ends"
        ((code == 7)) || say "an exit code of $code"
    done
    kill "$beside"
    """)
    ended = job.end()
    assert (ended.code, ended.output) == (0, "")


def test_a_suspended_container_goes_on(node: Node) -> None:
    job = node.start(f"container main {sh('echo $$; until [ -e go ]; do sleep 0.02; done; exit 3')}")
    until(lambda: node.is_running("main") and node.log("main").endswith("\n"))
    container = int(node.log("main"))
    os.kill(container, signal.SIGSTOP)
    time.sleep(0.2)
    assert node.is_running("main")
    (node.pod / "go").touch()
    os.kill(container, signal.SIGCONT)
    assert job.end().code == 3


# --- what may be in the way -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["records", "spool", "logs"])
def test_the_exit_code_needs_no_folder(node: Node, place: str) -> None:
    folder = node.control / "spool" if place == "spool" else node.pod / place
    if folder.exists():
        folder.rmdir()
    folder.write_text("not a folder")
    expected = 1 if place == "logs" else 6  # without a log nothing is started
    assert node.run(f"container main {sh('exit 6')}").code == expected


@pytest.mark.parametrize(
    "prefix",
    [
        "set -e",
        "set -u",
        "set -euo pipefail",
        "set -C",
        "set -f",
        "set -o posix",
        "IFS=,",
        "shopt -s nullglob failglob nocasematch extglob",
        "export child=1 killer=1 stopping=yes noted=9 failed=yes worst=9 code=9 interrupted=yes pod=x grace=x names=x",
        "export CDPATH=/ POSIXLY_CORRECT=1 TMOUT=1",
        "trap '' TERM",
    ],
)
def test_a_command_prefix_may_do_what_it_likes(node: Node, prefix: str) -> None:
    calls = [
        f"init_container one {sh('exit 0')}",
        f"container bad {sh('exit 5')}",
        f"container main {sh('echo ready; exec sleep 300')}",
    ]
    job = node.start("\n".join(calls), prefix=prefix)
    until(lambda: node.is_running("main"))
    until(lambda: (record := node.record("bad")) and record.phase is ContainerPhase.TERMINATED)
    job.term()
    assert job.end().code == 143
    assert [node.ended(name).exit_code for name in ("one", "bad", "main")] == [0, 5, 143]


def test_a_log_that_is_too_long_begins_anew(node: Node) -> None:
    write = "head -c 5000 /dev/zero; until grep -q MaxLogSize logs/main.log; do sleep 0.1; done; echo end"
    assert node.run(f"log_limit=1000\ncontainer main {sh(write)}").code == 0
    assert node.log("main") == (
        "(remote-slurm: 5000 bytes stood here; the log passed MaxLogSize, 1000 bytes, and begins anew)\nend\n"
    )
    assert noted(node)[-1] == len(node.log("main"))
    sizes = noted(node)
    assert max(sizes[sizes.index(0) :]) <= len(node.log("main")), "what stood there does not count any more"


def test_the_length_of_a_log_is_noted_when_it_has_changed(node: Node) -> None:
    assert node.run(f"container main {sh('echo one; sleep 3.5; echo two')}").code == 0
    assert noted(node).count(4) == 1
    assert noted(node)[-1] == 8


def noted(node: Node) -> list[int]:
    record = node.pod / "records" / "main"
    return [int(line.split()[1]) for line in record.read_text().splitlines()[1:]] if record.exists() else []


# --- hostPath ---------------------------------------------------------------------------------------------------------

KINDS = ("Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket", "")
FITS = {
    "folder": {"Directory", "DirectoryOrCreate", ""},
    "file": {"File", "FileOrCreate", ""},
    "socket": {"Socket", ""},
    "absent": {"DirectoryOrCreate", "FileOrCreate"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("thing", FITS)
def test_host_paths(node: Node, thing: str, kind: str) -> None:
    path = node.root / f"it's a {thing}"
    if thing == "folder":
        path.mkdir()
    elif thing == "file":
        path.write_text("kept")
    elif thing == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    calls = f"host_path {quote(kind)} {quote(str(path))}\ncontainer main {sh('touch ran')}"
    code = node.run(calls).code
    assert (code == 0) == (kind in FITS[thing])
    assert (node.pod / "ran").exists() == (code == 0)
    if code:
        assert node.ended("main").message.startswith(
            f"not started: hostPath {path} is not there as {kind or 'a path'} on"
        )
    elif thing == "absent":
        assert path.is_dir() == (kind == "DirectoryOrCreate")
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), "as a kubelet makes it"
    elif thing == "file":
        assert path.read_text() == "kept"


@pytest.mark.parametrize(
    ("allowed", "path", "code"),
    [
        ("{root}/own", "{root}/own/data", 0),
        ("{root}/own", "{root}/own", 0),
        ("/", "{root}/own/data", 0),
        ("{root}/other {root}/own", "{root}/own/data", 0),
        ("{root}/own/", "{root}/own/data", 0),
        ("{root}/own", "{root}/own-not/data", 1),
        ("{root}/own", "{root}/own/out/data", 1),
        ("{root}/own", "{root}/own/../own-not", 1),
        ("{root}/in", "{root}/own/data", 0),
    ],
)
def test_host_paths_lead_to_what_is_allowed(
    node: Node, tmp_path_factory: pytest.TempPathFactory, allowed: str, path: str, code: int
) -> None:
    root = tmp_path_factory.mktemp("site")
    for folder in ("own/data", "own-not/data"):
        (root / folder).mkdir(parents=True)
    (root / "own/out").symlink_to("../own-not")
    (root / "in").symlink_to("own")
    call = f"host_path Directory {path} {allowed}".format(root=root)
    assert node.run(f"{call}\ncontainer main {sh('touch ran')}").code == code
    assert (node.pod / "ran").exists() == (code == 0)
    if code:
        assert "which AllowedHostPaths does not allow" in node.ended("main").message


@pytest.mark.parametrize("kind", ["DirectoryOrCreate", "FileOrCreate"])
def test_nothing_is_made_through_a_link_that_leads_out_of_what_is_allowed(
    node: Node, tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    root = tmp_path_factory.mktemp("site")
    for folder in ("own", "account"):
        (root / folder).mkdir()
    (root / "own/out").symlink_to(root / "account")
    calls = f"host_path {kind} {root}/own/in/a/b {root}/own\nhost_path {kind} {root}/own/out/a/b {root}/own"
    assert node.run(f"{calls}\ncontainer main {sh('touch ran')}").code == 1
    assert (root / "own/in/a/b").is_dir() == (kind == "DirectoryOrCreate")
    assert "leads out of" in node.ended("main").message
    assert list((root / "account").iterdir()) == []


@pytest.mark.parametrize("path", ["{root}", "{root}/x", "{pod}/logs", "{root}/.."])
def test_an_allowed_host_path_does_not_overlap_the_pods_folders(node: Node, path: str) -> None:
    """Its container could read the Secrets of other pods, and replace what they mount."""
    (node.root / "x").mkdir()
    call = f"host_path Directory {path} /".format(root=node.root, pod=node.pod)
    assert node.run(f"{call}\ncontainer main {sh('touch ran')}").code == 1
    assert "a folder of remote-slurm" in node.ended("main").message


def test_hidden_words_are_read_from_their_file(node: Node) -> None:
    script = 'for each; do printf "<%s>" "$each"; done'
    values = ["", "it's $HOME", "a\r\nb\n", "--password=t0p"]
    (node.pod / "secret" / "words").write_text("".join(f"{value}\0" for value in values))
    command = f'container main {sh(script)} sh "${{hidden[0]}}" "${{hidden[1]}}" "${{hidden[2]}}" "${{hidden[3]}}"'
    assert node.run(f"hidden_words secret/words 4\n{command}").code == 0
    assert (node.pod / "logs" / "main.log").read_bytes() == "".join(f"<{value}>" for value in values).encode()


@pytest.mark.parametrize("content", [None, b"", b"one\0", b"one\0two"], ids=["absent", "empty", "one", "cut"])
def test_without_its_hidden_words_no_container_starts(node: Node, content: bytes | None) -> None:
    if content is not None:
        (node.pod / "secret" / "words").write_bytes(content)
    assert node.run(f"hidden_words secret/words 2\ncontainer main {sh('touch ran')}").code == 1
    assert node.ended("main").message.startswith("not started: secret/words is missing or incomplete")
    assert not (node.pod / "ran").exists()


ODD = {"db.password": "t0p-of-the-database", "a-b": "line\nline\n", "A B": "", "1x": "a=b"}
SHOW = ["sh", "-c", "cat /proc/self/environ /proc/$$/environ; touch shown; exec sleep 300"]


def node_with(node: Node, *programs: str) -> str:
    """A PATH with only what a job needs, and `programs`."""
    folder = node.root / "bin"
    folder.mkdir()
    for name in (
        "cat",
        "sh",
        "touch",
        "sleep",
        "mkdir",
        "rm",
        "mv",
        "ln",
        "head",
        "stat",
        "readlink",
        "tail",
        "hostname",
    ):
        (folder / name).symlink_to(shutil.which(name) or "")
    for name in programs:
        # a python3 in the PATH may be a shell script that looks for one
        (folder / name).symlink_to(Path(sys.executable).resolve() if name == "python3" else shutil.which(name) or "")
    return f"export PATH={folder}"


@pytest.mark.parametrize("carrier", ["perl", "python3"])
def test_variables_that_no_shell_can_hold_are_in_no_argument(node: Node, carrier: str) -> None:
    (node.pod / "secret" / "odd").write_bytes(b"".join(f"{name}={value}\0".encode() for name, value in ODD.items()))
    prefix = node_with(node, carrier)
    job = node.start(f"needs_carrier\ncontainer main with_env secret/odd '' 0 {words(SHOW)}", prefix=prefix)
    until((node.pod / "shown").exists)
    assert "t0p" not in node.arguments()
    found = dict(entry.partition("=")[::2] for entry in node.log("main").split("\0") if entry)
    assert {name: found.get(name) for name in ODD} == ODD
    job.term()
    job.end()


def test_a_carrier_hides_the_nodes_variables_from_a_runtime(node: Node) -> None:
    (node.pod / "secret" / "odd").write_bytes(b"a.b=c\0")
    kept = quote("(PATH)$|APPTAINER")
    calls = f"export LEAK=1 APPTAINERENV_X=2\ncontainer main with_env secret/odd {kept} 0 env"
    assert node.run(calls).code == 0
    assert {line.partition("=")[0] for line in node.log("main").splitlines()} == {"PATH", "APPTAINERENV_X", "a.b"}


def test_without_a_carrier_the_container_is_not_started_and_says_why(node: Node) -> None:
    (node.pod / "secret" / "odd").write_bytes(b"a.b=c\0")
    calls = f"needs_carrier\ncontainer main with_env secret/odd '' 0 {sh('touch ran')}\ncontainer other {sh('exit 0')}"
    assert node.run(calls, prefix=node_with(node)).code == 1
    message = node.ended("main").message
    assert message.startswith("not started: an environment variable has a name that no shell can hold, and node ")
    assert message.endswith(" has neither perl nor python3 to set it: give it another name")
    assert (node.ended("other").exit_code, (node.pod / "ran").exists()) == (0, False)


def test_lines_alone_need_no_carrier(node: Node) -> None:
    (node.pod / "secret" / "odd").write_bytes(b"LINES_OF=a\nb\0")
    call = f"container main with_env secret/odd '' 0 {sh('cat /proc/self/environ')}"
    assert node.run(call, prefix=node_with(node)).code == 0
    assert "LINES_OF=a\nb\0" in node.log("main")


def test_paths_are_looked_at_once_each_however_often(node: Node) -> None:
    calls = 'mkdir -p volumes/v\nsub_path volumes/v it it\nrecheck_mounts; recheck_mounts; say "${#guarded[@]}"'
    assert node.run(calls).output == "remote-slurm: 1\n"


def test_a_memory_volume_lies_on_disk_on_a_node_without_room(node: Node) -> None:
    calls = f"shm=/proc/no/such\nmemory_volume v\ncontainer main {sh('echo kept >volumes/v/file')}"
    ended = node.run(calls)
    assert (ended.code, "memory volume v is on disk" in ended.output) == (0, True)
    assert (node.pod / "volumes/v/file").exists()


def test_a_pod_whose_volume_outgrows_its_limit_is_ended_and_says_so(node: Node) -> None:
    fill = sh("head -c 1000000 /dev/zero >volumes/v/fill; exec sleep 300")
    assert node.run(f"mkdir -p volumes/v\nsize_limit v 500000\ncontainer main {fill}").code == 143
    message = node.ended("main").message
    assert message.startswith("volume v holds ")
    assert message.endswith(" bytes, more than its sizeLimit of 500000: the pod was evicted")


@pytest.mark.parametrize("kind", ["DirectoryOrCreate", "FileOrCreate"])
def test_a_path_that_cannot_be_created_is_reported_in_one_line(node: Node, kind: str) -> None:
    ended = node.run(f"host_path {kind} /proc/no/such\ncontainer main {sh('touch ran')}")
    assert ended.code == 1
    assert all(line.startswith("remote-slurm: ") for line in ended.output.splitlines())


# --- ContainerRuntime: none -------------------------------------------------------------------------------------------


def environment_file(node: Node, values: dict[str, str]) -> None:
    (node.pod / "secret" / "env").mkdir()
    text = "".join(f"{name}={quote(value)}\n" for name, value in values.items())
    (node.pod / "secret" / "env" / "main").write_text(text)


def test_every_value_of_the_environment_arrives_byte_for_byte(node: Node) -> None:
    values = {f"V{number}": value for number, value in enumerate(HOSTILE)}
    environment_file(node, values)
    names = " ".join(f'"${name}"' for name in values)
    show = sh(f'for each in {names}; do printf "%s\\0" "$each"; done')
    assert node.run(f"container main on_node secret/env/main '' {show}").code == 0
    assert node.log("main").split("\0")[:-1] == HOSTILE


@pytest.mark.parametrize(
    ("folder", "code", "log"),
    [
        ("/usr", 0, "/usr\n"),
        ("", 0, "{root}\n"),
        ("{root}/no/such", 0, "{root}/no/such\n"),
        ("{root}/it's", 0, "{root}/it's\n"),
        ("/proc/no/such", 125, ""),
    ],
)
def test_the_working_folder(node: Node, folder: str, code: int, log: str) -> None:
    """One that does not exist is made, as containerd does."""
    environment_file(node, {})
    words = quote(folder.format(root=node.root))
    assert node.run(f"container main on_node secret/env/main {words} pwd").code == code
    if code == 0:
        assert node.log("main") == log.format(root=node.root)


def test_without_its_environment_nothing_runs(node: Node) -> None:
    assert node.run("container main on_node secret/env/absent '' touch ran").code == 125
    assert not (node.root / "ran").exists()


@pytest.mark.parametrize("command", ["join", "images", "exec_mode"])
def test_a_command_is_never_a_function_of_the_runner(node: Node, command: str) -> None:
    environment_file(node, {"PATH": f"{node.root}:/usr/bin:/bin"})
    program = node.root / command
    program.write_text("#!/bin/sh\necho the program; exit 4\n")
    program.chmod(0o755)
    assert node.run(f"container main on_node secret/env/main / {command} x").code == 4
    assert node.log("main") == "the program\n"


@pytest.mark.parametrize("name", ["PATH", "IFS", "HOME", "name", "failed", "BASH_ENV", "LC_ALL", "SECONDS"])
def test_a_variable_may_have_any_name(node: Node, name: str) -> None:
    environment_file(node, {name: "/usr/bin:/bin"})
    assert node.run("container main on_node secret/env/main / sh -c 'exit 3'").code == 3


def test_a_container_inherits_no_open_file_but_its_three_streams(node: Node) -> None:
    """A folder that is open leads out of a container, and Apptainer passes on what is open."""
    left_open = f"exec 7<{node.root}; exec 12<{node.pod}/secret; exec {{more}}<{node.root}"
    assert node.run(f"container main {sh('ls /proc/$$/fd; true')}", prefix=left_open).code == 0
    assert node.log("main").split() == ["0", "1", "2"]
