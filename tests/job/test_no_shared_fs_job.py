"""no_shared_fs.sh: how a job reports through its comment, and how it waits for its logs."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from remote_slurm.domain.job_usage import Source
from remote_slurm.domain.plan.node_local_files import NodeLocalFiles
from remote_slurm.domain.plan.payload import archive
from remote_slurm.domain.plan.script import job_files
from remote_slurm.domain.shell import quote
from remote_slurm.domain.status.job_comment import CommentReport, parse_comment
from remote_slurm.job import SCRIPTS
from tests.domain.podspec import container, plan, pod
from tests.job.node import BASH, POD, Job, Node, sh, until

_SCONTROL = """\
#!/bin/sh
[ ! -e "{folder}/broken" ] || {{ cat "{folder}/broken" >&2; exit 1; }}
for word; do
    case $word in Comment=*) printf '%s' "${{word#Comment=}}" >"{folder}/.comment" ;; esac
done
mv "{folder}/.comment" "{folder}/comment"
"""


class Apart:
    """A node with Slurm's commands as far as a job calls them."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.folder = node.root / "slurm"
        self.folder.mkdir()
        self.command("scontrol", _SCONTROL.format(folder=self.folder))

    def command(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def start(self, calls: str, *, patience: int = 60, comment: str = "", prefix: str = "") -> Job:
        first = f". ./no_shared_fs.sh\nno_shared_fs {self.folder}/scontrol {patience} '{comment}'\n"
        return self.node.start(first + calls, prefix=prefix)

    @property
    def comment(self) -> str:
        path = self.folder / "comment"
        return path.read_text() if path.exists() else ""

    @property
    def standing(self) -> CommentReport:
        return parse_comment(POD, self.comment) or CommentReport()

    def fetched(self) -> None:
        (self.node.root / "fetched").touch()


@pytest.fixture
def apart(node: Node) -> Apart:
    return Apart(node)


def test_the_comment_has_what_the_whole_job_has_used(apart: Apart) -> None:
    reserved = "export SLURM_JOB_NUM_NODES=1 SLURM_CPUS_ON_NODE=4"
    busy = sh("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
    job = apart.start(f"container a {busy}\ncontainer b {busy}", prefix=reserved)
    until(lambda: apart.standing.over)
    used = apart.standing.usage
    apart.fetched()
    assert job.end().code == 0
    assert used is not None
    assert (used.source, used.cpus) == (Source.TIMES, 4)
    assert used.cpu_seconds
    assert [each.usage for each in apart.standing.records] == [None, None]


class Batch:
    """The whole batch script of a pod, run as Slurm runs it; its folder lies in `tmpdir`, and ends with it."""

    def __init__(self, root: Path, script: str, tmpdir: Path | str, **keys: str) -> None:
        node = Apart(Node(root / "unused"))
        settings = {"SHARED_FS": False, "ContainerRuntime": "none", "FetchSeconds": 0, **keys}
        settings["ScontrolPath"] = str(node.folder / "scontrol")
        made = plan(pod(container("main", "/bin/sh", "-c", script)), settings=settings)
        job, *others = job_files(made, SCRIPTS)
        path = root / "slurm_script"
        assert isinstance(made.transfer, NodeLocalFiles)
        path.write_bytes(made.transfer.carry((job.content or b"").decode(), archive(made.pod, others)))
        environment = {"PATH": os.environ["PATH"], "HOME": str(root), "SLURM_JOB_ID": "7", "TMPDIR": str(tmpdir)}
        self.code = subprocess.run([BASH, path], env=environment, cwd="/", check=False, timeout=60).returncode
        self.comment = node.comment
        self.standing = parse_comment(made.pod, self.comment) or CommentReport()


def test_the_files_follow_the_last_comment_of_the_script(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    script = f"# --- files\n# --- files of mine\ntouch '{tmp_path}/ran'\nexit 3\n#"
    batch = Batch(tmp_path, script, folder)
    assert (batch.code, batch.standing.over) == (3, True)
    assert [record.exit_code for record in batch.standing.records] == [3]
    assert batch.standing.folder.startswith(f"{folder}/remote-slurm-7-")
    assert (tmp_path / "ran").exists()
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["odd;name", "a|bar", "100%", "a space", "a,comma", "relative", "gone"])
def test_a_tmpdir_that_no_comment_or_mount_could_name_is_not_used(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    if name != "gone":
        folder.mkdir()
    batch = Batch(tmp_path, f"touch '{tmp_path}/ran'", name if name == "relative" else folder)
    assert (batch.code, batch.standing.over) == (0, True)
    assert batch.standing.folder.startswith("/tmp/remote-slurm-7-")
    assert not Path(batch.standing.folder).exists()


def test_a_node_where_the_files_cannot_lie_says_why(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tar").write_text("#!/bin/sh\necho 'tar: ns-1: No space left on device' >&2\nexit 2\n")
    (tmp_path / "bin/tar").chmod(0o755)
    folder = tmp_path / "tmp"
    folder.mkdir()
    batch = Batch(tmp_path, "true", folder, CommandPrefix=f"PATH={tmp_path}/bin:$PATH")
    assert batch.code == 1
    assert f"no folder can be made in {folder} on node " in batch.standing.failure
    assert batch.standing.failure.endswith(": tar: ns-1: No space left on device")
    assert not list(folder.iterdir())


def test_the_comment_has_all_records_and_the_pods_own_comment(apart: Apart) -> None:
    job = apart.start(
        f"init_container first true\ncontainer main {sh('exit 3')}\ncontainer side sleep 1", comment="mine | it"
    )
    until(lambda: apart.standing.over)
    apart.fetched()
    assert job.end().code == 3
    assert {record.container: record.exit_code for record in apart.standing.records} == {
        "first": 0,
        "main": 3,
        "side": 0,
    }
    assert apart.standing.folder == str(apart.node.root)
    assert apart.comment.endswith("|mine | it")


def test_an_ended_job_waits_until_its_logs_are_fetched(apart: Apart) -> None:
    job = apart.start("container main true", patience=60)
    until(lambda: apart.standing.over)
    assert job.process.poll() is None
    apart.fetched()
    assert job.end().code == 0
    (apart.node.root / "fetched").unlink()
    assert apart.start("container main true", patience=0).end().code == 0


def test_who_is_fetching_is_waited_for(apart: Apart) -> None:
    (apart.node.root / "fetching").write_text(f"{os.getpid()}\n")
    job = apart.start("container main true", patience=0)
    until(lambda: apart.standing.over)
    assert job.process.poll() is None
    (apart.node.root / "fetching").unlink()
    assert job.end().code == 0


def test_who_was_killed_while_fetching_is_not_waited_for(apart: Apart) -> None:
    killed = subprocess.Popen(["true"])
    killed.wait()
    (apart.node.root / "fetching").write_text(f"{killed.pid}\n")
    assert apart.start("container main true", patience=0).end().code == 0


def test_a_stop_while_it_waits_keeps_the_exit_code(apart: Apart) -> None:
    job = apart.start(f"container main {sh('exit 4')}")
    until(lambda: apart.standing.over)
    job.term()
    assert job.end().code == 4


def test_a_stopped_job_waits_less_long_for_its_logs_to_be_fetched(apart: Apart) -> None:
    """Slurm kills what does not end soon."""
    job = apart.start(f"stopped_timeout=0\ncontainer main {sh('exec sleep 300')}", patience=10_000)
    until(lambda: apart.node.is_running("main"))
    job.term()
    assert job.end().code == 143
    assert apart.standing.over


def test_a_folder_that_the_job_has_made_itself_ends_with_it(tmp_path: Path) -> None:
    node = Node(tmp_path / "remote-slurm-7-aaaaaa")
    apart = Apart(node)
    apart.folder.rename(tmp_path / "slurm")
    apart.folder = tmp_path / "slurm"
    apart.command("scontrol", _SCONTROL.format(folder=apart.folder))
    job = apart.start("container main true", patience=0, prefix="export REMOTE_SLURM_SHELL=$$")
    assert job.end().code == 0
    assert apart.standing.over
    assert not node.root.exists()


def test_a_long_comment_loses_ends_of_messages_but_no_container(apart: Apart) -> None:
    names = [f"container-{number}" for number in range(6)]
    apart.start(
        f"failed='{'long words; ' * 200}'\n" + "\n".join(f"container {name} true" for name in names), patience=0
    ).end()
    assert len(apart.comment) <= 1000
    assert [record.container for record in apart.standing.records] == names
    assert all(record.message.startswith("not started") for record in apart.standing.records)


def test_a_message_arrives_with_any_characters(apart: Apart) -> None:
    """What ends a record or a comment may stand there, and what looks as if it were escaped already."""
    said = r"50% %41 %3B; a|b \n ;over;|"
    script = sh(f"echo >>runs; printf %s {quote(said)} >messages/main; [ $(wc -l <runs) -ge 2 ] || exit 3; exit 4")
    job = apart.start(f"restart_rule In 3\ntermination_message messages/main File\ncontainer main {script}")
    until(lambda: apart.standing.over)
    apart.fetched()
    assert job.end().code == 4
    (record,) = apart.standing.records
    assert (record.message, record.last.message) == (said, said)
    assert apart.comment.isprintable()


def test_the_comment_has_the_reasons_of_many_restarting_containers(apart: Apart) -> None:
    names = [f"c-{number}" for number in range(9)]
    lines = "".join(f"restart_policy OnFailure\ncontainer {name} {sh('exit 3')}\n" for name in names)
    job = apart.start(f"backoff_first=600\n{lines}", comment="mine")
    until(lambda: [record.reason for record in apart.standing.records] == ["CrashLoopBackOff"] * 9)
    assert len(apart.comment) <= 1000
    assert {record.container: record.restarts for record in apart.standing.records} == dict.fromkeys(names, 1)
    assert not [record.message for record in apart.standing.records if "last=" in record.message]
    job.term()
    apart.fetched()
    job.end()


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("character", ["a", "ü", "€", "𝄞"])
def test_a_comment_is_counted_in_bytes_and_cuts_no_character(apart: Apart, locale: str, character: str) -> None:
    message = "".join(f"{number}{character}" for number in range(1000))
    prefix = f"export LC_ALL={locale}"
    apart.start(f"failed='{message}'\ncontainer main true", patience=0, comment="ü" * 500, prefix=prefix).end()
    assert len(apart.comment.encode()) <= 1000
    (record,) = apart.standing.records
    said = record.message.removeprefix("not started: ")
    assert message.startswith(said)
    assert len(said.encode()) > 100


def test_a_comment_that_slurm_did_not_accept_is_sent_again(apart: Apart) -> None:
    (apart.folder / "broken").touch()
    job = apart.start(f"container main {sh('until [ -e go ]; do sleep 0.02; done')}")
    until(lambda: apart.node.is_running("main"))
    assert apart.comment == ""
    (apart.folder / "broken").unlink()
    (apart.node.pod / "go").touch()
    until(lambda: apart.standing.over)
    apart.fetched()
    assert job.end().code == 0


def test_an_end_during_an_outage_of_slurm_is_reported_later(apart: Apart) -> None:
    job = apart.start(f"comment_timeout=0\ncontainer main {sh('until [ -e go ]; do sleep 0.02; done; exit 5')}")
    until(lambda: apart.standing.records)
    (apart.folder / "broken").touch()
    (apart.node.pod / "go").touch()
    until((apart.node.pod / ".over").exists)
    (apart.folder / "broken").unlink()
    until(lambda: apart.standing.over)
    apart.fetched()
    assert job.end().code == 5
    assert [record.exit_code for record in apart.standing.records] == [5]


@pytest.mark.parametrize("first", ["", "x"])
def test_a_message_is_not_cut_within_an_escaped_line_break(apart: Apart, first: str) -> None:
    """The cut is somewhere in 1000 of two characters each, with or without one character before them."""
    lines = quote(first + "\n" * 1000 + "end")
    apart.start(f"failed={lines}\ncontainer main true", patience=0).end()
    (record,) = apart.standing.records
    assert record.message.startswith("not started:")
    assert not record.message.endswith("\\")


def test_a_job_that_slurm_has_ended_does_not_wait(apart: Apart) -> None:
    """It takes no comment any more, and no step that would fetch its logs."""
    job = apart.start(f"container main {sh('until [ -e go ]; do sleep 0.02; done; exit 5')}", patience=600)
    until(lambda: apart.standing.records)
    (apart.folder / "broken").write_text("slurm_update error: Job has already finished\n")
    (apart.node.pod / "go").touch()
    assert job.end().code == 5
    assert not apart.standing.over


def test_a_signal_for_all_processes_of_the_job_does_not_hide_its_end(apart: Apart) -> None:
    """As where it is preempted with a GraceTime: Slurm takes its comment and its steps until that is over."""
    job = apart.start(f"container main {sh('until [ -e go ]; do :; done; exit 5')}", patience=600)
    until(lambda: apart.node.is_running("main") and apart.standing.records)
    for process in apart.node.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGTERM)
    until(lambda: apart.standing.over)
    assert [record.exit_code for record in apart.standing.records] == [143]
    apart.fetched()
    assert job.end().code == 143
