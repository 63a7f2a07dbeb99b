"""Containers over time: what is started again, and when; native sidecars; what a container says of its own end."""

import os
import re
import time
from pathlib import Path

import pytest

from remote_slurm.domain.records import ContainerPhase, LastRun, Record, run_before_requeue
from remote_slurm.domain.shell import quote, words
from remote_slurm.job import SCRIPTS
from tests.job.node import BASH, PATIENCE, Job, Node, sh, until

QUICK = "backoff_first=1 backoff_limit=2\n"
COUNT = "echo run >>runs; "


def runs(node: Node) -> int:
    path = node.pod / "runs"
    return path.read_text().count("run\n") if path.exists() else 0


# --- restart policy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("calls", "code", "times"), [
    ("", 3, 1),
    ("restart_policy OnFailure\n", 0, 3),
    ("restart_rule In 3 4\n", 0, 3),
    ("restart_rule In 4\n", 3, 1),
    ("restart_rule In 33 13\n", 3, 1),
    ("restart_rule NotIn 0 4\n", 0, 3),
    ("restart_rule NotIn 3\n", 3, 1),
])  # fmt: skip
def test_a_container_that_fails_is_started_again_by_policy(node: Node, calls: str, code: int, times: int) -> None:
    script = sh(f"{COUNT} [ $(wc -l <runs) -ge 3 ] || exit 3")
    assert node.run(f"{QUICK}{calls}container main {script}").code == code
    assert runs(node) == times
    record = node.ended("main")
    assert (record.exit_code, record.restarts) == (code, times - 1)


def test_it_says_how_the_last_run_ended_and_keeps_its_log(node: Node) -> None:
    script = sh(f"{COUNT} echo of run $(wc -l <runs); [ $(wc -l <runs) -ge 2 ] || exit 3")
    assert node.run(f"{QUICK}restart_policy OnFailure\ncontainer main {script}").code == 0
    record = node.ended("main")
    assert record.last == LastRun(record.last.started, record.last.finished, 3, 0)
    assert record.last.started <= record.last.finished <= record.started
    assert node.log("main") == "of run 2\n"
    assert (node.pod / "logs" / "main.previous.log").read_text() == "of run 1\n"
    assert (node.pod / "logs" / ".main.previous.sizes").read_text().split()[-1] == "9"


def test_the_first_restart_comes_at_once_and_later_ones_wait_and_say_so(node: Node) -> None:
    job = node.start(f"backoff_first=30\nrestart_policy OnFailure\ncontainer main {sh(COUNT + 'exit 3')}")
    until(lambda: (record := node.record("main")) and record.phase is ContainerPhase.WAITING)
    record = node.record("main")
    assert (runs(node), record.restarts, record.reason) == (2, 1, "CrashLoopBackOff")
    assert record.message == "back-off 30s restarting the container, whose exit code was 3"
    assert record.last.exit_code == 3
    job.term()
    assert job.end().code == 3
    assert node.ended("main").message == "the job was told to stop"
    assert runs(node) == 2, "it is not started once more"


@pytest.mark.parametrize("ran", [599, 600])
def test_the_delay_doubles_to_a_limit_and_starts_over_after_a_long_run(node: Node, ran: int) -> None:
    script = (
        ": next_delay\nrun_began=0 run_ended=1 backoff=0\n"
        'for _ in 1 2 3 4 5 6 7 8; do next_delay; printf "%s " "$delay"; done\n'
        f'run_ended={ran}; next_delay; printf "%s\\n" "$delay"'
    )
    assert node.run(script).output == f"0 10 20 40 80 160 300 300 {300 if ran < 600 else 0}\n"


def test_always_restarts_success_too_and_a_stop_makes_it_none(node: Node) -> None:
    job = node.start(f"{QUICK}restart_policy Always\ncontainer main {sh(COUNT)}")
    until(lambda: runs(node) >= 2)
    job.term()
    assert job.end().code == 143
    assert node.ended("main").exit_code == 143


@pytest.mark.parametrize(("storage", "calls"), [("echo x >conf; ", ["rm --force --time 0 --ignore main"]), ("", [])])
def test_its_name_is_free_again_in_a_storage_of_the_jobs_own(node: Node, storage: str, calls: list[str]) -> None:
    """Without one, podman would look into the account's."""
    podman = node.root / "podman"
    podman.write_text(f'#!/bin/sh\necho "$*" >>{node.root}/calls\n')
    podman.chmod(0o755)
    script = sh(f"{COUNT} [ $(wc -l <runs) -ge 2 ] || exit 3")
    prepare = (
        f"{storage}. ./podman.sh\nuse_podman\nCONTAINERS_STORAGE_CONF=conf podman=({podman})\nrestart_policy OnFailure"
    )
    assert node.run(f"{prepare}\ncontainer main {script}").code == 0
    path = node.root / "calls"
    reported = path.read_text().splitlines() if path.exists() else []
    assert [call for call in reported if call.endswith("main")] == calls


def test_its_own_folders_are_empty_again(node: Node) -> None:
    script = sh(
        f'{COUNT} [ -z "$(ls -A scratch/main)" ] || exit 5; touch scratch/main/left; [ $(wc -l <runs) -ge 2 ] || exit 3'
    )
    assert node.run(f"scratch main\nrestart_policy OnFailure\ncontainer main {script}").code == 0


@pytest.mark.parametrize(
    ("nodes", "owner", "there"), [(1, None, True), (2, None, False), (1, 4711, False)], ids=["ours", "nodes", "theirs"]
)
def test_they_lie_in_a_tmpdir_that_is_the_jobs_alone(node: Node, nodes: int, owner: int | None, *, there: bool) -> None:
    """What another account owns is open to it, and of several nodes only one would see it."""
    tmpdir = node.root / "it's tmp"
    tmpdir.mkdir(mode=0o777)
    if owner:
        if os.getuid():
            pytest.skip("only root may give a folder away")
        os.chown(tmpdir, owner, owner)
    export = f"export TMPDIR={quote(str(tmpdir))} SLURM_JOB_NUM_NODES={nodes}"
    look = sh("cd scratch/main && pwd -P")
    assert node.run(f"scratch main\ncontainer main {look}", prefix=export).code == 0
    assert node.log("main").startswith(f"{tmpdir}/remote-slurm-7-" if there else f"{node.pod}/scratch/main")
    assert list(tmpdir.iterdir()) == []


def test_what_it_mounts_is_looked_at_again(node: Node) -> None:
    """Between two runs it could have put a link there, that leads to what AllowedHostPaths does not allow."""
    script = sh(f"{COUNT} rm -r volumes/v/it; ln -s /etc volumes/v/it; exit 3")
    ended = node.run(f"mkdir -p volumes/v\nsub_path volumes/v it it\nrestart_policy OnFailure\ncontainer main {script}")
    assert (ended.code, runs(node)) == (1, 1)
    assert node.ended("main").message == "not started again: subPath it of volumes/v leads out of its volume"
    assert node.ended("main").last.exit_code == 3


def test_an_init_container_has_to_succeed_once(node: Node) -> None:
    script = sh(f"{COUNT} [ $(wc -l <runs) -ge 2 ] || exit 3")
    calls = f"restart_policy Always\ninit_container one {script}\ncontainer main {sh('echo main')}"
    assert node.run(QUICK + calls).code == 0
    assert node.ended("one").restarts == 1
    assert node.log("main") == "main\n"


def test_what_is_said_of_one_container_does_not_hold_for_the_next(node: Node) -> None:
    calls = f"restart_policy OnFailure\ncontainer a {sh('exit 0')}\ncontainer b {sh('exit 3')}"
    assert node.run(calls).code == 3
    assert node.ended("b").restarts == 0


def test_records_are_numbered_in_their_order(node: Node) -> None:
    script = sh(f"{COUNT} [ $(wc -l <runs) -ge 2 ] || exit 3")
    node.run(f"restart_policy OnFailure\ncontainer main {script}")
    assert node.ended("main").number == 3, "running, running again, terminated"


def test_no_two_files_define_the_same_function() -> None:
    """But for those of the runner that a part replaces, which it lists."""
    defined = {name: re.findall(r"^(\w+)\(\) \{(.*)", text.decode(), re.MULTILINE) for name, text in SCRIPTS.items()}
    runner = defined.pop("runner.sh")
    names = [name for name, rest in runner if not rest.endswith("}")]
    names += [name for file, found in defined.items() if file not in ("pull.sh", "mounts.sh") for name, _ in found]
    assert len(names) > 150
    assert sorted(names) == sorted(set(names))
    replaced = {name for name, rest in runner if rest.endswith("}")}
    assert replaced <= set(names), "what a part replaces is defined by one"


# --- where Slurm requeues the job -------------------------------------------------------------------------------------

STAYS = "trap 'exit 4' TERM; touch up; while :; do sleep 0.05; done"


def run_until_up(node: Node, calls: str, run: int) -> tuple[Job, Record]:
    """One run of the job, and what is known of its container `main` once that runs."""
    (node.pod / "up").unlink(missing_ok=True)
    job = node.start(calls, run=run)
    until((node.pod / "up").exists)
    until(lambda: node.is_running("main"))  # which is recorded a moment later
    return job, node.record("main")


def test_a_requeue_continues_the_restart_count_and_keeps_the_last_run(node: Node) -> None:
    script = rf"{COUNT} [ $(wc -l <runs) -ge 3 ] || exit 3; printf 'a\\b\tc\nd' >messages/main; {STAYS}"
    init = f"init_container init {sh('exit 0')}\n"
    calls = (
        f"{QUICK}{init}termination_message messages/main File\nrestart_policy OnFailure\ncontainer main {sh(script)}"
    )
    first, _ = run_until_up(node, calls, 0)
    first.term()
    first.end()
    ended = node.ended("main")
    second, now = run_until_up(node, calls, 1)
    assert (ended.restarts, now.run, now.restarts) == (2, 1, 2)
    words = "a\\b\tc\nd; the job was told to stop: Slurm has requeued the job"
    assert now.last == LastRun(ended.started, ended.finished, 4, 0, words)
    assert now.last == run_before_requeue(ended)
    assert node.ended("init").last.exit_code == 0
    second.process.kill()  # no end is recorded, as where a node fails
    node.clear()
    second.end()
    third, last = run_until_up(node, calls, 2)
    assert last.restarts == 2
    assert last.last == run_before_requeue(now) == LastRun(now.started, 0, 137, 9, "how it ended was not recorded")
    third.term()
    third.end()


def test_a_requeue_keeps_the_times_of_the_log_before(node: Node) -> None:
    node.run(f"container main {sh('echo one')}")
    node.run(f"container main {sh('echo second')}", run=1)
    assert (node.pod / "logs" / "main.previous.log").read_text() == "one\n"
    assert (node.pod / "logs" / ".main.previous.sizes").read_text().split()[-1] == "4"
    assert [line.split()[1] for line in (node.pod / "records" / "main").read_text().splitlines()[1:]] == ["7"]


def test_a_requeue_gives_a_last_run_only_to_containers_that_ran(node: Node) -> None:
    waits = f"backoff_first=30\nrestart_policy OnFailure\ncontainer waits {sh(COUNT + 'exit 3')}\n"
    none = f"await_image() {{ no_image='there is none'; }}\ncontainer none {sh('exit 5')}\n"
    first = node.start(waits + none)
    until(lambda: (record := node.record("waits")) and record.phase is ContainerPhase.WAITING)
    waited, absent = node.record("waits"), node.ended("none")
    first.process.kill()
    node.clear()
    first.end()
    node.run(f"container waits {sh('exit 0')}\ncontainer none {sh('exit 0')}", run=1)
    assert node.ended("waits").last == waited.last == run_before_requeue(waited)
    assert node.ended("waits").restarts == 1
    assert node.ended("none").last is None
    assert run_before_requeue(absent) is None


# --- native sidecars --------------------------------------------------------------------------------------------------


def test_sidecars_run_beside_the_rest_and_end_last_in_reverse(node: Node) -> None:
    side = "trap 'echo {0} ends >>order; exit 0' TERM; echo {0} >>order; touch {0}; while :; do sleep 0.05; done"
    calls = [
        f"sidecar_container one {sh(side.format('one'))}",
        f"init_container init {sh('until [ -e one ]; do sleep 0.02; done; echo init >>order')}",
        f"sidecar_container two {sh(side.format('two'))}",
        f"container main {sh('until [ -e two ]; do sleep 0.02; done; echo main >>order')}",
    ]
    assert node.run("\n".join(calls)).code == 0
    assert (node.pod / "order").read_text().split("\n")[:-1] == ["one", "init", "two", "main", "two ends", "one ends"]


def test_a_sidecar_that_ends_is_started_again(node: Node) -> None:
    calls = f"restart_policy Always\nsidecar_container side {sh(COUNT + 'exit 3')}\n"
    calls += f"container main {sh('until [ $(wc -l <runs) -ge 2 ]; do sleep 0.05; done')}"
    assert node.run(QUICK + calls).code == 0, "its failures are not the pod's"
    assert node.ended("side").restarts >= 1


def test_what_follows_a_sidecar_waits_for_its_startup_probe(node: Node) -> None:
    calls = [
        f"probe startup 0 1 60 1 99 '' {BASH} -c '[ -e up ]'",
        f"sidecar_container side {sh('sleep 0.5; touch up; sleep 300')}",
        f"container main {sh('[ -e up ]')}",
    ]
    assert node.run("\n".join(calls)).code == 0


def test_sidecars_are_stopped_after_the_containers(node: Node) -> None:
    slow = "trap 'sleep 0.3; echo main >>order; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    side = "trap 'echo side >>order; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    job = node.start(f"sidecar_container side {sh(side)}\ncontainer main {sh(slow)}")
    until(lambda: node.is_running("side") and node.log("side") == "ready\n")
    until(lambda: node.is_running("main") and node.log("main") == "ready\n")
    job.term()
    assert job.end().code == 5
    assert (node.pod / "order").read_text().split() == ["main", "side"]


def test_a_sidecar_has_what_the_containers_left_of_the_grace_period(node: Node) -> None:
    slow = "trap 'sleep 5; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    side = "trap : TERM; echo ready; while :; do sleep 0.05; done"
    job = node.start(f"sidecar_container side {sh(side)}\ncontainer main {sh(slow)}", grace=10)
    until(lambda: node.is_running("side") and node.log("side") == "ready\n")
    until(lambda: node.is_running("main") and node.log("main") == "ready\n")
    job.term()
    assert job.end().code == 5
    ended = node.ended("side")
    assert ended.exit_code == 137
    assert ended.finished - node.ended("main").finished < 10


def test_sidecars_share_one_grace_period_after_the_containers(node: Node) -> None:
    """The second one, which is stopped first, takes all of it; two seconds are left for the first, as on a kubelet."""
    stubborn = "trap ': >>$0.told' TERM; until [ -e $0.told ]; do sleep 0.05; done; while :; do echo; sleep 0.1; done"
    calls = [f"sidecar_container {name} sh -c {quote(stubborn)} {name}" for name in ("one", "two")]
    up = sh("until [ -s logs/one.up ]; do sleep 0.05; done")
    calls[0] = f"sidecar_container one sh -c {quote('echo >logs/one.up; ' + stubborn)} one"
    job = node.start("\n".join([*calls, f"container main {up}"]), grace=6)
    assert job.end().code == 0
    assert [node.ended(name).exit_code for name in ("one", "two")] == [137, 137]
    assert len(node.log("one")) < 55  # at ten a second, in two seconds and not in six


def test_a_sidecar_that_ends_by_itself_after_a_stop_is_not_started_again(node: Node) -> None:
    """Before it is stopped, which happens once the containers have ended."""
    waits = "until [ -e {} ]; do sleep 0.02; done; "
    main = "trap 'touch told; " + waits.format("over") + "exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    calls = f"restart_policy Always\nsidecar_container side {sh(COUNT + waits.format('told') + 'touch ends; exit 3')}\n"
    job = node.start(f"{calls}container main {sh(main)}")
    until(lambda: node.is_running("main") and node.log("main") == "ready\n")
    job.term()
    until(lambda: (record := node.record("side")) and record.phase is ContainerPhase.TERMINATED)
    (node.pod / "over").touch()
    assert job.end().code == 5
    assert runs(node) == 1
    assert (node.ended("side").restarts, node.ended("side").last, node.ended("side").reason) == (0, None, "JobStopped")


@pytest.mark.parametrize("up", [True, False])
def test_a_sidecar_whose_supervisor_died_has_an_end(node: Node, *, up: bool) -> None:
    """Where it had not started, nothing that follows it can."""
    killed = sh("until [ -e go ]; do sleep 0.02; done; kill -KILL $PPID; exec sleep 300")
    probe = "" if up else f"probe startup 0 1 60 1 99 '' {BASH} -c 'touch go; exit 1'\n"
    main = sh("touch go" if up else "touch ran")
    job = node.start(f"{probe}sidecar_container side {killed}\ncontainer main {main}")
    assert job.process.wait(PATIENCE) == (0 if up else 1)
    assert (node.ended("side").exit_code, node.ended("side").signal) == (137, 9)
    assert not (node.pod / "ran").exists()
    assert node.ended("main").message == ("" if up else "not started: sidecar side could not be started")
    node.clear()
    job.end()


def test_containers_that_cannot_start_say_so_once_each(node: Node) -> None:
    said = node.run("failed='no room'\nsidecar_container side true\ncontainer main true").output
    assert said.splitlines() == [f"remote-slurm: container {name} is not started: no room" for name in ("side", "main")]


def test_a_sidecar_that_ends_when_the_pod_is_over_was_not_stopped(node: Node) -> None:
    side = sh("trap 'exit 0' TERM; touch up; while :; do sleep 0.05; done")
    job = node.start(f"sidecar_container side {side}\ncontainer main {sh('until [ -e up ]; do sleep 0.05; done')}")
    assert job.end().code == 0
    assert (node.ended("side").exit_code, node.ended("side").message) == (0, "")


# --- what it says of its own end --------------------------------------------------------------------------------------

LONG = "x" * 5000


@pytest.mark.parametrize(
    ("calls", "script", "message"),
    [
        ("termination_message messages/main File", r"printf 'a\tb\\n\nend\n' >messages/main; exit 3", "a\tb\\n\nend"),
        ("termination_message messages/main File", "echo of success >messages/main", "of success"),
        ("termination_message messages/main File", "echo log; exit 3", ""),
        ("termination_message messages/main FallbackToLogsOnError", "echo log; exit 3", "log"),
        ("termination_message messages/main FallbackToLogsOnError", "echo log", ""),
        ("termination_message messages/main FallbackToLogsOnError", "echo log; echo m >messages/main; exit 3", "m"),
        ("termination_message - FallbackToLogsOnError", "seq 1 100; exit 3", "\n".join(map(str, range(21, 101)))),
        ("termination_message - FallbackToLogsOnError", f"echo {LONG}; exit 3", LONG[:2047]),
        ("", "echo 'FATAL:   mine'; exit 3", ""),
        ("", "echo 'Error: mine'; exit 1", ""),
        ("", "echo 'FATAL:   not the last'; echo; exit 255", ""),
        ("termination_message messages/main File", "echo m >messages/main; echo 'FATAL:   x'; exit 255", "m"),
        ("termination_message messages/main File", f"echo {LONG} >messages/main; exit 3", LONG[:4096]),
        ("termination_message messages/main File", "rm messages/main; exit 3", ""),
    ],
)
def test_the_termination_message(node: Node, calls: str, script: str, message: str) -> None:
    node.run(f"{calls}\ncontainer main {sh(script)}")
    assert node.ended("main").message == message


@pytest.mark.parametrize(
    ("runtime", "script", "words"),
    [
        ("apptainer", "echo 'INFO:    x'; echo 'FATAL:   no such image'; exit 255", "FATAL:   no such image"),
        ("apptainer", "echo 'Error: what mounts.sh says'; exit 125", "Error: what mounts.sh says"),
        ("podman", "echo 'Error: crun: x: OCI not found'; exit 127", "Error: crun: x: OCI not found"),
        ("podman", "echo 'Error: no such container'; exit 125", "Error: no such container"),
        ("enroot", "echo '/etc/rc: line 2: exec: x: no'; exit 127", "/etc/rc: line 2: exec: x: no"),
        ("enroot", "echo 'enroot-mount: failed to mount: x'; exit 1", "enroot-mount: failed to mount: x"),
    ],
)
def test_a_program_that_the_runtime_cannot_start_has_a_start_error(
    node: Node, runtime: str, script: str, words: str
) -> None:
    calls = f"use_{runtime}\ntermination_message messages/main File\ncontainer main {sh(script)}"
    assert node.run(calls).code == 128
    record = node.ended("main")
    assert (record.exit_code, record.signal, record.message, record.reason) == (128, 0, words, "StartError")


@pytest.mark.parametrize(("code", "message"), [(0, ""), (255, "%")])
def test_a_line_as_long_as_the_log_is_not_held_in_memory(node: Node, code: int, message: str) -> None:
    """A program that draws its progress prints one, and its job may have little memory."""
    script = f"head -c 50000000 /dev/zero | tr '\\0' %; exit {code}"
    calls = f"ulimit -Sv 100000\ntermination_message - FallbackToLogsOnError\ncontainer main {sh(script)}"
    assert node.run(calls).code == code
    record = node.ended("main")
    assert (record.exit_code, record.message) == (code, 2048 * message)


@pytest.mark.parametrize("runtime", ["apptainer", "podman", "enroot"])
@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("exit 255", 255, ""),
        ("echo hello; echo 'FATAL:   x'; exit 255", 255, ""),
        ("echo 'FATAL:   x'; printf hello; exit 255", 255, ""),
        ("echo 'FATAL:   x'; exit 1", 1, ""),
        ("echo m >messages/main; echo 'FATAL:   x'; exit 255", 255, "m"),
        ("echo 'Error: mine'; exit 127", 127, ""),
        ("echo './a: line 2: exec: x: no'; exit 127", 127, ""),
        ("nosuch", 127, ""),
        ("exec nosuch", 127, ""),
        ("exec /etc/passwd", 126, ""),
        ("exit 2", 2, ""),
    ],
)
def test_programs_return_such_codes_and_print_such_words_themselves(
    node: Node, runtime: str, script: str, code: int, words: str
) -> None:
    calls = f"use_{runtime}\ntermination_message messages/main File\ncontainer main {sh(script)}"
    assert node.run(calls).code == code
    record = node.ended("main")
    assert (record.exit_code, record.signal, record.message, record.reason) == (code, 0, words, "Error")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("on_node secret/env '' no-such-command", "exec: no-such-command: not found"),
        ("on_node secret/env '' /etc/passwd", "exec: /etc/passwd: cannot execute: Permission denied"),
        ("no-such-runtime run", "exec: no-such-runtime: not found"),
    ],
)
def test_what_the_node_does_not_have_is_a_start_error(node: Node, command: str, words: str) -> None:
    (node.pod / "secret" / "env").write_text("")
    assert node.run(f"container main {command}").code == 128
    record = node.ended("main")
    assert (record.exit_code, record.reason, record.message) == (128, "StartError", words)


@pytest.mark.parametrize(("said", "code"), [("", 143), ("echo x;", 2)])
def test_a_stop_before_the_program_began_counts_as_stopped(node: Node, said: str, code: int) -> None:
    """The process of Apptainer that makes the container is a program in Go: SIGTERM ends it with exit code 2."""
    script = sh(f"trap 'exit 2' TERM; : >up; {said} while :; do sleep 0.05; done")
    job = node.start(f"use_apptainer\ncontainer main {script}")
    until((node.pod / "up").exists)
    job.term()
    assert job.end().code == code
    assert node.ended("main").exit_code == code


def test_each_run_has_a_message_of_its_own(node: Node) -> None:
    script = sh(f"{COUNT} [ $(wc -l <runs) -ge 2 ] || {{ echo first >messages/main; exit 3; }}")
    calls = "restart_policy OnFailure\ntermination_message messages/main File\n"
    assert node.run(f"{QUICK}{calls}container main {script}").code == 0
    record = node.ended("main")
    assert (record.message, record.last.message) == ("", "first")


def test_a_file_of_the_node_counts_if_it_was_written_since(node: Node) -> None:
    old, new = node.root / "old", node.root / "new"
    for path in (old, new):
        path.write_text("stale")
        os.utime(path, (time.time() - 60,) * 2)
    calls = [
        f"termination_message {quote(str(old))} File\ncontainer a {sh('exit 3')}",
        f"termination_message {quote(str(new))} File\ncontainer b {sh(f'sleep 0.1; echo fresh >{new}; exit 3')}",
    ]
    node.run("\n".join(calls))
    assert (node.ended("a").message, node.ended("b").message) == ("", "fresh")


def test_what_is_no_file_is_no_message(node: Node) -> None:
    """Reading from a pipe without a writer would block for ever."""
    pipe = node.root / "pipe"
    script = sh(f"sleep 0.1; mkfifo {pipe}; exit 3")
    assert node.run(f"termination_message {pipe} File\ncontainer main {script}").code == 3
    assert node.ended("main").message == ""


def test_who_was_stopped_says_both(node: Node) -> None:
    script = "trap 'echo last words >messages/main; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    job = node.start(f"termination_message messages/main File\ncontainer main {sh(script)}")
    until(lambda: node.is_running("main") and node.log("main") == "ready\n")
    job.term()
    job.end()
    assert node.ended("main").message == "last words; the job was told to stop"


# --- what a container does without ------------------------------------------------------------------------------------


def test_a_container_without_its_volume_says_why_in_its_log(node: Node) -> None:
    sentence = "volume 'a b' is \"$(left) out\""
    lacks = words(("lacks", sentence))
    node.run(f"{lacks}\ncontainer main {sh('echo on; exit 3')}\ncontainer other {sh('echo off')}")
    assert (node.log("main"), node.ended("main").message) == (f"(remote-slurm: {sentence})\non\n", sentence)
    assert (node.log("other"), node.ended("other").message) == ("off\n", ""), "it is the next one's alone"
    node.run(f"{lacks}\ncontainer main {sh('true')}")
    assert node.ended("main").message == ""


def test_the_final_length_of_a_log_is_noted_after_short_runs(node: Node) -> None:
    assert node.run(f"container main {sh('echo hello')}").code == 0
    assert (node.pod / "records" / "main").read_text().split()[-1] == "6"


def test_a_requeueable_job_removes_its_secrets_at_its_own_end(node: Node) -> None:
    assert node.run(f"container main {sh('true')}", prefix="#SBATCH --requeue").code == 0
    assert not (node.pod / "secret").exists()


def test_a_container_that_runs_on_costs_no_process_beside_it(node: Node, tmp_path: Path) -> None:
    """Each one would disturb the job's own computation: what waits for the container's end waits without one."""
    for program in ("sleep", "stat"):
        counting = tmp_path / program
        counting.write_text(f'#!/bin/sh\necho {program} >>"{tmp_path}/calls"\nexec /bin/{program} "$@"\n')
        counting.chmod(0o700)
    node.run(f"container main {sh('/bin/sleep 3')}", prefix=f"PATH={tmp_path}:$PATH")
    calls = (tmp_path / "calls").read_text().split()
    assert calls.count("stat") == 1
    assert calls.count("sleep") <= 2 * 5


@pytest.mark.parametrize("signals", [0, 30])
def test_what_writes_ticks_may_end_and_signals_may_come(node: Node, signals: int) -> None:
    """The job still learns of the container's end, and traps run."""
    calls = (
        f"write_ticks() {{ printf '\\n'; }}\ntraps=0\ntrap 'interrupted=yes traps=$((traps + 1))' USR2\n"
        f"(for ((i = 0; i < {signals}; i++)); do /bin/sleep 0.05; kill -USR2 $$; done; : >go) &\n"
        f'container main {sh("until [ -e go ]; do /bin/sleep 0.1; done; /bin/sleep 4")}\nawait_containers; say "$traps"'
    )
    ended = node.run(calls)
    traps = int(ended.output.removeprefix("remote-slurm: "))
    assert ended.code == 0
    assert min(signals, 1) <= traps <= signals, "of signals that come during one check, bash traps one"
