"""What annotations do in a job: the pod's own shell, deadlines, folders, and scripts in place of containers."""

import os
import stat
from pathlib import Path

import pytest

from remote_slurm.domain.plan.script import SOURCES
from remote_slurm.domain.records import ContainerPhase
from remote_slurm.domain.shell import quote, words
from tests.job.node import BASH, POD, Ended, Node, sh, until

READY = "echo ready; exec sleep 300"


def with_pre_exec(node: Node, text: str, calls: str, *, argument: str = "") -> str:
    """The calls of job.sh, where the pod's own shell comes before its containers."""
    (node.pod / "secret" / "pre-exec.sh").write_text(text)
    script = node.pod / "containers.sh"
    script.write_text(f"{SOURCES}resume {POD} 60\n{calls}\nfinish\n")
    script.chmod(0o700)
    needed = " ".join(calls.split())  # in runner.sh, which both scripts read
    return f"pre_exec {argument}\n# resume {needed}"


def is_ready(node: Node, name: str = "main") -> bool:
    log = node.pod / "logs" / f"{name}.log"
    return node.is_running(name) and log.exists() and log.read_text().endswith("ready\n")


# --- pre-exec ---------------------------------------------------------------------------------------------------------


def test_containers_see_what_the_pods_own_shell_exports(node: Node) -> None:
    shell = 'echo first; export GREETING="it\'s me"; ulimit -n 99; cd /; private=1'
    show = sh('echo "$GREETING" "$(ulimit -n)" "${private-unset}"; test -e runner.sh')
    assert node.run(with_pre_exec(node, shell, f"container main {show}")) == Ended(0, "first\n")
    assert node.log("main") == "it's me 99 unset\n"


@pytest.mark.parametrize(
    "shell",
    [
        "set -eu -o pipefail; true",
        "failed=no worst=9 names=x pod=y grace=z code=1 began=never stopped=x control=/; say() { exit 9; }",
        "finish() { exit 9; }; container() { exit 9; }; trap 'echo bye' EXIT; IFS=,",
        "false",
        "shopt -s failglob nocasematch; unset HOME",
    ],
)
def test_nothing_else_of_it_gets_in_the_way(node: Node, shell: str) -> None:
    calls = f"container main {sh('exit 3')}\ncontainer other {sh('exit 0')}"
    assert node.run(with_pre_exec(node, shell, calls)).code == 3
    assert (node.ended("main").exit_code, node.ended("other").exit_code) == (3, 0)


@pytest.mark.parametrize(("shell", "code"), [("exit 7", 7), ("exit 0", 0), ("set -e; false; echo no", 1)])
def test_where_it_ends_itself_no_container_starts_and_each_says_why(node: Node, shell: str, code: int) -> None:
    ended = node.run(
        with_pre_exec(node, shell, f"init_container i {sh('touch ran')}\ncontainer main {sh('touch ran')}")
    )
    assert ended.code == 1
    assert not (node.pod / "ran").exists()
    for name in ("i", "main"):
        assert node.ended(name).message == f"not started: pre-exec ended the job with exit code {code}"
    assert not (node.pod / "secret").exists()


def test_it_has_a_tmpdir_of_its_own_that_goes_with_the_job(node: Node) -> None:
    shell = 'stat -c %a "$TMPDIR"; echo "$TMPDIR" >tmpdir; touch "$TMPDIR/left"'
    ended = node.run(with_pre_exec(node, shell, f"container main {sh('echo ${TMPDIR-unset}')}"))
    assert ended == Ended(0, "700\n")
    assert node.log("main") == "unset\n"
    assert not Path((node.pod / "tmpdir").read_text().strip()).exists()


def test_a_stop_while_it_runs_ends_the_pod(node: Node) -> None:
    calls = f"container main {sh('touch ran')}"
    job = node.start(with_pre_exec(node, "touch here; until [ -e go ]; do sleep 0.02; done", calls))
    until((node.pod / "here").exists)
    job.term()
    (node.pod / "go").touch()
    assert job.end().code == 1
    assert node.ended("main").message == "not started: the job was told to stop"
    assert not (node.pod / "ran").exists()


def test_what_it_leaves_in_the_background_does_not_keep_the_job(node: Node) -> None:
    shell = "sleep 300 >tunnel.log 2>&1 & echo $! >tunnel"
    assert node.run(with_pre_exec(node, shell, f"container main {sh('kill -0 $(cat tunnel)')}")).code == 0
    os.kill(int((node.pod / "tunnel").read_text()), 9)  # as Slurm does with what is left of a job


def test_a_containers_stop_is_unchanged_behind_it(node: Node) -> None:
    job = node.start(with_pre_exec(node, "true", f"container main {sh(READY)}"))
    until(lambda: is_ready(node))
    job.term()
    assert job.end().code == 143
    assert node.ended("main").message == "the job was told to stop"


def test_the_wireguard_snippet_is_a_file_that_it_finds(node: Node) -> None:
    (node.pod / "secret" / "wireguard.conf").write_text("[Interface]\n")
    assert node.run(with_pre_exec(node, 'cat "$WIREGUARD_CONFIG"', f"container main {sh('true')}")).output == (
        "[Interface]\n"
    )


# --- the mesh script --------------------------------------------------------------------------------------------------

# What interLink's template of the Virtual Kubelet comes to, but for the network that it builds (0.6, mesh.sh)
MESH = """cat <<'EOFMESH' > $TMPDIR/mesh.sh
#!/bin/bash
set -e
set -m
TMPDIR=${SLIRP_TMPDIR:-/tmp/.slirp.$RANDOM$RANDOM}
mkdir -p $TMPDIR
cd $TMPDIR
BEFORE
cat <<'EOFSLIRP' > $TMPDIR/slirp.sh
#!/bin/bash
set -euo pipefail
export IN_THE_MESH=yes
$@
EOFSLIRP
chmod +x $TMPDIR/slirp.sh
$TMPDIR/slirp.sh "$@" &
fg 1

EOFMESH
"""


def mesh(before: str = "", after: str = "") -> str:
    return MESH.replace("BEFORE", before) + after


def test_containers_run_in_what_the_mesh_script_builds(node: Node) -> None:
    show = sh('echo "$IN_THE_MESH" "$OWN" "${SLIRP_TMPDIR-unset}" "${TMPDIR-unset}"')
    calls = f"init_container i {sh('exit 0')}\ncontainer main {show}\ncontainer bad {sh('exit 4')}"
    own = 'export OWN=too; echo "$TMPDIR" >tmpdir\n'
    ended = node.run(with_pre_exec(node, mesh(after=own), calls, argument="mesh"))
    assert ended.code == 4, ended.output
    assert node.log("main") == "yes too unset unset\n"
    assert [node.ended(name).exit_code for name in ("i", "main", "bad")] == [0, 0, 4]
    assert not (node.pod / "secret").exists()
    assert not Path((node.pod / "tmpdir").read_text().strip()).exists()


def test_where_the_mesh_cannot_be_built_each_container_says_so(node: Node) -> None:
    broken = mesh(before="echo 'ERROR: Failed to download wstunnel'; exit 1")
    ended = node.run(with_pre_exec(node, broken, f"container main {sh('touch ran')}", argument="mesh"))
    assert ended.code == 1
    assert "Failed to download" in ended.output
    assert node.ended("main").message == (
        "not started: the mesh script ended with exit code 1 before any container could start"
    )
    assert not (node.pod / "ran").exists()


def test_a_stop_reaches_the_containers_in_the_mesh(node: Node) -> None:
    script = "trap 'echo told; exit 6' TERM; echo ready; while :; do sleep 0.05; done"
    job = node.start(with_pre_exec(node, mesh(), f"container main {sh(script)}", argument="mesh"))
    until(lambda: is_ready(node))
    job.term()
    assert job.end().code == 6
    assert node.log("main") == "ready\ntold\n"
    assert node.ended("main").message == "the job was told to stop"


def test_a_stop_while_the_pods_own_shell_runs_makes_no_mesh(node: Node) -> None:
    shell = f"touch here; until [ -e go ]; do sleep 0.02; done\n{mesh(before=f'touch {node.pod}/meshed')}"
    job = node.start(with_pre_exec(node, shell, f"container main {sh('touch ran')}", argument="mesh"))
    until((node.pod / "here").exists)
    job.term()
    (node.pod / "go").touch()
    assert job.end().code == 1
    assert node.ended("main").message == "not started: the job was told to stop"
    assert not (node.pod / "meshed").exists()


def test_a_stop_before_the_mesh_is_there_ends_the_pod(node: Node) -> None:
    waits = mesh(before=f"touch {node.pod}/here; sleep 300 >/dev/null 2>&1")
    job = node.start(with_pre_exec(node, waits, f"container main {sh('touch ran')}", argument="mesh"))
    until((node.pod / "here").exists)
    job.term()
    assert job.end().code == 1
    assert node.ended("main").message == "not started: the job was told to stop"
    node.clear()


# --- singularity-commands ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "log"),
    [
        ("nice -n 3", "3 a  b\n"),
        ("export X=1;", "0 a  b\n"),
        ("echo before &&", "before\n0 a  b\n"),
        ("echo before\n", "before\n0 a  b\n"),
        ("X='a  b' env", "0 a  b\n"),
    ],
)
def test_singularity_commands_stand_in_front_of_the_command(node: Node, text: str, log: str) -> None:
    show = words(["sh", "-c", 'echo "$(($(nice) - $2))" "$1"; exit 3', "sh", "a  b", str(os.nice(0))])
    assert node.run(f"container main prefixed {quote(text)} {show}").code == 3
    assert node.log("main") == log
    assert not list(node.pod.glob(".started*"))


def test_a_stop_reaches_the_container_behind_them_once(node: Node) -> None:
    script = "trap 'echo told; exit 6' TERM; echo ready; while :; do sleep 0.05; done"
    job = node.start(f"container main prefixed {quote('true; nice -n 1')} {sh(script)}")
    until(lambda: is_ready(node))
    job.term()
    assert job.end().code == 6
    assert node.log("main") == "ready\ntold\n"


def test_commands_that_fail_keep_the_container_from_starting(node: Node) -> None:
    assert node.run(f"container main prefixed {quote('no-such-module &&')} touch ran").code == 127
    assert not (node.pod / "ran").exists()


def test_a_stop_reaches_a_container_with_odd_variables(node: Node) -> None:
    (node.pod / "secret" / "odd").write_bytes(b"a.b=c\0")
    script = words(["sh", "-c", "trap 'echo told; exit 6' TERM; echo ready; while :; do sleep 0.05; done"])
    job = node.start(f"container main with_env secret/odd '' 0 {script}")
    until(lambda: is_ready(node))
    job.term()
    assert job.end().code == 6
    assert node.log("main") == "ready\ntold\n"


# --- the deadline -----------------------------------------------------------------------------------------------------

DEADLINE = "DeadlineExceeded: the pod was active for longer than its activeDeadlineSeconds, 4"


def test_a_pod_past_its_deadline_ends_and_says_so(node: Node) -> None:
    obeys = sh("trap 'exit 0' TERM; while :; do sleep 0.05; done")
    calls = f"deadline 4\ncontainer main {obeys}\ncontainer done true"
    assert node.run(calls).code == 143
    record = node.ended("main")
    assert (record.exit_code, record.message) == (143, DEADLINE)
    assert (node.ended("done").exit_code, node.ended("done").message) == (0, "")


def test_init_containers_count(node: Node) -> None:
    assert node.run(f"deadline 4\ninit_container i sleep 300\ncontainer main {sh('touch ran')}").code == 143
    assert node.ended("i").message == DEADLINE
    assert node.ended("main").message == f"not started: {DEADLINE}"


def test_so_does_what_came_before_them(node: Node) -> None:
    ended = node.run(with_pre_exec(node, "sleep 4.1", "deadline 4\ncontainer main sleep 300"))
    assert ended.code != 0
    assert DEADLINE in node.ended("main").message


def test_slurms_time_limit_a_moment_before_it_is_the_deadline(node: Node) -> None:
    job = node.start(f"deadline 4\ncontainer main {sh('sleep 2.2; ' + READY)}")
    until(lambda: is_ready(node))
    job.term()
    assert job.end().code == 143
    assert node.ended("main").message == DEADLINE


def test_a_pod_that_ends_before_leaves_nothing_that_waits(node: Node) -> None:
    assert node.run("deadline 300\ncontainer main true").code == 0
    node.until_empty()


# --- job-workdir ------------------------------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that does not lie in DataRootFolder."""
    return tmp_path_factory.mktemp("outside")


def test_a_work_folder_in_data_root_folder_is_not_used(node: Node) -> None:
    assert node.run(f"job_workdir {node.root}/base ''\nscratch main\ncontainer main true").code == 1
    assert node.ended("main").message.endswith("which is a link, or is in DataRootFolder")
    assert not (node.root / "base").exists()


def test_empty_dirs_and_scratch_folders_lie_in_the_pods_folder_below_it(node: Node, outside: Path) -> None:
    base = outside / "it's a work folder"
    (node.pod / "volumes" / "data").mkdir(parents=True)
    calls = f"job_workdir {quote(str(base))} '' data\nscratch main\n"
    look = f"container main {sh('echo kept >volumes/data/file; cd scratch/main && pwd -P')}"
    assert node.run(calls + look).code == 0
    assert node.log("main") == f"{base}/{POD}/scratch/main\n"
    assert (base / POD / "data" / "file").read_text() == "kept\n"
    assert stat.S_IMODE((base / POD).stat().st_mode) == 0o700
    assert (node.pod / "workdir").resolve() == base / POD
    assert not (base / POD / "scratch").exists()
    assert node.run(calls + look).code == 0, "a requeued job finds it there"


def test_the_job_removes_it_if_the_login_node_cannot(node: Node, outside: Path) -> None:
    base = outside / "base"
    calls = f"local_root=/somewhere\njob_workdir {base} {{}}\ncontainer main true"
    assert node.run(calls.format("keep")).code == 0
    assert (base / POD).exists()
    assert node.run(calls.format("''")).code == 0
    assert not (base / POD).exists()


def test_a_workdir_of_another_account_is_not_used(node: Node, outside: Path) -> None:
    if os.getuid():
        pytest.skip("only root may give a folder away")
    base = outside / "base"
    (base / POD).mkdir(parents=True)
    os.chown(base / POD, 4711, 4711)
    assert node.run(f"job_workdir {base} ''\nscratch main\ncontainer main {sh('touch ran')}").code == 1
    assert node.ended("main").message.startswith(f"not started: job-workdir {base} cannot be used on node")
    assert list((base / POD).iterdir()) == []


@pytest.mark.parametrize("target", ["jobs/other", "elsewhere"])
def test_a_workdir_that_is_replaced_by_a_link_is_not_followed(node: Node, outside: Path, target: str) -> None:
    """Another pod of the account that mounts the folder above can do that between two looks of the runner."""
    base, other = outside / "base", node.pod.parent / "other" if target == "jobs/other" else outside / target
    base.mkdir()
    (other / "secret").mkdir(parents=True)
    replaces = f'mv {base / POD} {base}/gone; command ln -s {other} {base / POD}; command ln "$@"'
    calls = f"ln() {{ unset -f ln; {replaces}; }}\njob_workdir {base} '' secret\nscratch main\n"
    assert node.run(f"{calls}container main {sh('touch ran')}").code == 1
    assert node.ended("main").message.startswith(f"not started: job-workdir {base} cannot be used on node")
    assert [each.name for each in other.iterdir()] == ["secret"]


def test_a_workdir_that_cannot_be_created_is_reported(node: Node, outside: Path) -> None:
    (outside / "file").touch()
    calls = f"job_workdir {outside}/file ''\nscratch main\ncontainer main {sh('touch ran')}"
    assert node.run(calls).code == 1
    assert node.ended("main").message.startswith(f"not started: job-workdir {outside}/file cannot be used on node")


# --- jobScript --------------------------------------------------------------------------------------------------------


def with_job_script(node: Node, text: str) -> str:
    script = node.pod / "secret" / "job-script.sh"
    script.write_text(text)
    script.chmod(0o700)
    return "init_container i true\ncontainer main job_script main other\ncontainer other with_job_script other"


def test_a_job_script_runs_in_place_of_all_containers(node: Node) -> None:
    calls = with_job_script(node, '#!/bin/sh\ncd / && test -e "$workingPath/runner.sh" && echo here; exit 5\n')
    assert node.run(calls).code == 5
    assert [node.ended(name).exit_code for name in ("i", "main", "other")] == [0, 5, 5]
    assert node.log("main") == "here\n"


def test_it_may_say_what_became_of_each_container(node: Node) -> None:
    script = """#!/bin/bash
        (echo "log of other"; exit 3) &>"$workingPath/run-other.out"
        echo $? >"$workingPath/run-other.status"
        echo 0 >"${workingPath}/run-main.status"
    """
    assert node.run(with_job_script(node, script)).code == 3
    assert (node.ended("main").exit_code, node.ended("other").exit_code) == (0, 3)
    assert node.log("other") == "log of other\n"


@pytest.mark.parametrize("status", ["", "words", "-1", "1000"])
def test_what_is_no_exit_code_is_a_failure(node: Node, status: str) -> None:
    script = f'#!/bin/sh\necho "{status}" >"$workingPath/run-other.status"\n'
    assert node.run(with_job_script(node, script)).code == 1
    assert (node.ended("main").exit_code, node.ended("other").exit_code) == (0, 1)


def test_the_end_of_a_run_before_a_requeue_ends_no_container(node: Node) -> None:
    with_job_script(node, "#!/bin/sh\nexit 5\n")
    (node.pod / ".job-script-ended").write_text("0\n")
    calls = "container other with_job_script other\nsleep 0.5\ncontainer main job_script main other"
    assert node.run(calls).code == 5
    assert node.ended("other").exit_code == 5


def test_a_stop_reaches_it(node: Node) -> None:
    script = "#!/bin/sh\ntrap 'echo told; exit 6' TERM; echo ready; while :; do sleep 0.05; done\n"
    job = node.start(with_job_script(node, script))
    until(lambda: is_ready(node))
    until(lambda: node.is_running("other"))
    job.term()
    assert job.end().code == 143
    assert node.log("main") == "ready\ntold\n"
    assert node.ended("main").exit_code == 6


# --- rank.sh ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("runtime", "prefix"), [("apptainer", "APPTAINERENV_"), ("singularity", "SINGULARITYENV_")])
def test_each_rank_passes_the_variables_of_mpiexec_to_the_container(node: Node, runtime: str, prefix: str) -> None:
    program = node.root / runtime
    program.write_text("#!/bin/sh\nenv\n")
    program.chmod(0o755)
    ask = words(["env", "PMI_RANK=3", "SLURM_NTASKS=4", BASH, "rank.sh", str(program), str(program), "exec"])
    assert node.run(f"container main {ask}").code == 0
    passed = [line for line in node.log("main").splitlines() if line.startswith(("APPTAINERENV_", "SINGULARITYENV_"))]
    assert sorted(passed) == [f"{prefix}PMI_RANK=3", f"{prefix}UCX_POSIX_USE_PROC_LINK=n"]
    assert node.ended("main").phase is ContainerPhase.TERMINATED
