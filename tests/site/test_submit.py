"""submit.sh: the jobs of some pods, one after another, in every shell that a site may have as /bin/sh."""

import gzip
import io
import secrets
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.domain.plan.payload import archive
from remote_slurm.domain.plan.projections import File
from remote_slurm.site.reply import Reply
from tests.site.account import SHELLS, Account


@pytest.fixture(params=SHELLS, ids=" ".join)
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Account:
    return Account(tmp_path, request.param)


def packed(pod: str) -> bytes:
    return archive(pod, [File("job.sh", f"# {pod}\n".encode(), 0o700), File("volumes/data/key", b"value", 0o600)])


def convoy(*pods: str) -> tuple[str, bytes]:
    return " ".join(pods), b"".join(map(packed, pods))


def reported(answer: Reply) -> list[str]:
    return [f"{word} {rest}" for word, rest in answer.lines if word != "root"]


def test_pods_that_travel_together_each_get_a_job_and_files_of_their_own(account: Account) -> None:
    answer = account.submit(*convoy("ns-a", "ns-b", "ns-c"))
    assert reported(answer) == ["submitted ns-a 101", "submitted ns-b 102", "submitted ns-c 103"]
    for pod, job in (("ns-a", "101"), ("ns-b", "102"), ("ns-c", "103")):
        assert (account.root / pod / "job.sh").read_text() == f"# {pod}\n"
        assert (account.root / pod / "volumes/data/key").read_text() == "value"
        assert (account.root / pod / "job.id").read_text() == f"{job}\n"
        assert (account.slurm / "jobs" / job / "command").read_text() == str(account.root / pod / "job.sh")
        assert (account.slurm / "jobs" / job / "folder").read_text() == f"{account.root / pod}\n"
    assert list((account.root / ".remote-slurm/incoming").iterdir()) == []


def test_what_is_known_is_answered_and_the_others_are_submitted(account: Account) -> None:
    account.submit(*convoy("ns-has-job"))
    (account.claims / "ns-gone.deleted").touch()
    (account.claims / "ns-tried.attempt").touch()
    (account.claims / "ns-claimed.job").symlink_to("77")
    answer = account.submit(*convoy("ns-has-job", "ns-gone", "ns-tried", "ns-claimed", "ns-new"))
    assert reported(answer) == [
        "submitted ns-has-job 101",
        "deleted ns-gone",
        "submitted ns-claimed 77",
        "submitted ns-new 102",
        "attempted ns-tried",
    ]
    assert {path.name for path in account.root.iterdir()} == {".remote-slurm", "ns-has-job", "ns-new"}
    assert len(account.calls("sbatch")) == 2


def test_a_payload_that_is_cut_anywhere_starts_nothing(account: Account) -> None:
    pods, payload = convoy("ns-a", "ns-b")
    for cut in (0, 1, len(payload) // 3, 2 * len(payload) // 3, len(payload) - 1):
        account.submit(pods, payload, cut=cut)
        assert account.calls("sbatch") == []
        assert {path.name for path in account.root.iterdir()} == {".remote-slurm"}
    assert reported(account.submit(pods, payload)) == ["submitted ns-a 101", "submitted ns-b 102"]


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_what_it_decides_does_not_depend_on_a_reader(account: Account, share: float) -> None:
    """A connection that is cut takes replies as well: `/dev/full` refuses each of them."""
    pods, payload = convoy("ns-a")
    script = account.script("submit", **account.submission(pods), payload_size=str(len(payload)))
    with Path("/dev/full").open("w") as nowhere:
        part, environment = payload[: int(share * len(payload))], account.environment
        words = [*account.shell, "-c", f"umask 077; {account.in_front}{script}"]
        subprocess.run(
            words,
            input=part,
            stdout=nowhere,
            stderr=nowhere,
            cwd=account.home,
            env=environment,
            check=False,
            timeout=60,
        )
    assert len(account.calls("sbatch")) == int(share)
    assert reported(account.submit(pods, payload)) == ["submitted ns-a 101"]


def test_a_pod_that_came_whole_before_the_cut_is_whole(account: Account) -> None:
    pods, payload = convoy("ns-a", "ns-b")
    account.submit(pods, payload, cut=len(packed("ns-a")))
    until((account.root / "ns-a/job.id").exists)
    assert account.jobs() == ["101"]
    assert not (account.root / "ns-b").exists()
    assert reported(account.submit(pods, payload)) == ["submitted ns-a 101", "submitted ns-b 102"]


def test_it_continues_after_a_disconnect_and_can_be_sent_again(account: Account) -> None:
    pods, payload = convoy("ns-a", "ns-b")
    account.tell("sbatch.slow", "0.2")
    account.submit(pods, payload, cut=len(payload))
    until((account.root / "ns-b/job.id").exists)
    assert reported(account.submit(pods, payload)) == ["submitted ns-a 101", "submitted ns-b 102"]
    assert account.jobs() == ["101", "102"]


def test_it_goes_on_when_the_connection_dies_under_it(account: Account) -> None:
    """Its replies are written into a pipe without a reader, and sshd signals the process that it has started."""
    pods, payload = convoy("ns-a", "ns-b")
    real, gate = (account.bin / "sbatch").read_text(), account.home / "gate"
    account.command("sbatch", f'until [ -e "{gate}" ]; do echo >"{account.home}/asked"; sleep 0.05; done\n{real}')
    script = account.script("submit", **account.submission(pods))
    account.hang_up(script, payload, (account.home / "asked").exists)
    gate.touch()
    until((account.root / "ns-b/job.id").exists)
    assert reported(account.submit(pods, payload)) == ["submitted ns-a 101", "submitted ns-b 102"]


def test_messages_of_sbatch_are_reported_for_their_own_pod(account: Account) -> None:
    account.command(
        "sbatch",
        'case $PWD in */ns-bad) echo ">submitted ns-bad 1" >&2; echo "sbatch: error: no" >&2; exit 3 ;; esac; echo 200',
    )
    answer = account.submit(*convoy("ns-a", "ns-bad", "ns-c"))
    assert reported(answer) == [
        "submitted ns-a 200",
        "message ns-bad >submitted ns-bad 1",
        "message ns-bad sbatch: error: no",
        "failed ns-bad 3",
        "submitted ns-c 200",
    ]


def test_output_of_a_failed_sbatch_on_stdout_is_reported_too(account: Account) -> None:
    account.command("sbatch", 'echo "the wrapper says no"; echo "sbatch: error: no" >&2; exit 3')
    assert reported(account.submit(*convoy("ns-a"))) == [
        "message ns-a sbatch: error: no",
        "message ns-a the wrapper says no",
        "failed ns-a 3",
    ]


def test_where_its_words_could_not_be_kept_sbatch_is_not_called(account: Account) -> None:
    """As in a full home: the shell would say no in its place."""
    account.ask("recover", sidecar="s", owns="")
    number = secrets.token_hex(6)
    of_another = Path(f"/tmp/remote-slurm-submit-{number}")
    of_another.write_text("as every account of the login node can make it")
    incoming = f".remote-slurm/incoming/ns-a.{number}"
    kept = account.root / f"{incoming}.err"
    kept.mkdir()
    assert reported(account.submit(*convoy("ns-a"), incoming=incoming)) == ["short ns-a"]
    assert list(account.claims.iterdir()) == []
    kept.rmdir()
    account.refuse("sbatch: error: no", 3)
    assert reported(account.submit(*convoy("ns-a"), incoming=incoming))[-1] == "failed ns-a 3"
    assert list((account.root / ".remote-slurm/incoming").iterdir()) == []
    assert of_another.read_text() == "as every account of the login node can make it"
    of_another.unlink()


def test_words_of_sbatch_leave_nothing_on_the_login_node(account: Account) -> None:
    number = secrets.token_hex(6)
    account.refuse("sbatch: error: no", 3)
    account.submit(*convoy("ns-a"), incoming=f".remote-slurm/incoming/ns-a.{number}")
    assert list(Path("/tmp").glob(f"remote-slurm-submit-{number}*")) == []


@pytest.mark.parametrize("folder", ["claims", "incoming", "spool"])
def test_a_folder_that_a_purge_has_removed_is_made_again(account: Account, folder: str) -> None:
    account.ask("recover", sidecar="s", owns="")
    (account.root / ".remote-slurm" / folder).rmdir()
    answers = [reported(account.submit(*convoy("ns-a"))) for _ in range(2)]
    assert answers[-1] == ["submitted ns-a 101"]
    nothing: dict[str, Any] = dict.fromkeys(("token", "seen", "beats", "ended", "carried"), "")
    account.ask("records", **nothing, owns="yes")
    assert (account.root / ".remote-slurm" / folder).is_dir()


def test_files_that_arrive_while_the_pod_is_deleted_are_removed(account: Account) -> None:
    """The tombstone comes after the first look, and the delete is over before the folder appears."""
    account.command("tar", f'/bin/tar "$@" && touch "{account.claims}/ns-a.deleted"')
    assert reported(account.submit(*convoy("ns-a"))) == ["deleted ns-a"]
    assert {path.name for path in account.root.iterdir()} == {".remote-slurm"}
    assert [path.name for path in account.claims.iterdir()] == ["ns-a.deleted"]
    assert account.calls("sbatch") == []


def test_a_script_that_was_killed_while_it_unpacked_is_no_obstacle(account: Account) -> None:
    account.ask("recover", sidecar="s", owns="")
    half = account.root / ".remote-slurm/incoming/ns-a"
    half.mkdir()
    (half / "job.sh").write_text("# ha")
    assert reported(account.submit(*convoy("ns-a"))) == ["submitted ns-a 101"]
    assert (account.root / "ns-a/job.sh").read_text() == "# ns-a\n"
    assert half.is_dir(), "the script may still run"


def test_of_two_payloads_with_the_same_pod_one_is_submitted(account: Account) -> None:
    """The other one arrives meanwhile, as a whole, and its script makes the attempt."""
    account.command(
        "tar", f'/bin/tar "$@" && cp -R "$3/ns-a" "{account.root}" && touch "{account.claims}/ns-a.attempt"'
    )
    assert reported(account.submit(*convoy("ns-a"))) == ["attempted ns-a"]
    assert account.calls("sbatch") == []
    assert not (account.root / "ns-a/ns-a").exists()


@pytest.mark.parametrize(
    ("says", "job"),
    [
        ("101;cluster", "101"),
        ("a warning\n102", "102"),
        ("101\n42", "101"),
        ("42\n101", "101"),
        ("7\n42\n43", None),
        ("Submitted batch job 101\n42", "101"),
        ("Submitted batch job 101 on cluster a", "101"),
        ("101;cluster\n42", "101"),
        ("no id", None),
        ("", None),
    ],
)
def test_the_id_is_found_among_what_plugins_print(account: Account, says: str, job: str | None) -> None:
    account.tell("sbatch.says", f"{says}\n")
    answer = account.submit(*convoy("ns-a"))
    assert reported(answer)[-1] == (f"submitted ns-a {job}" if job else "attempted ns-a")
    assert job or "".join(answer.all("message")) == "".join(f"ns-a {line}" for line in says.split("\n"))


def test_an_sbatch_that_is_killed_is_an_attempt_and_the_next_pod_goes_on(account: Account) -> None:
    account.tell("sbatch.dies")
    answer = account.submit(*convoy("ns-a", "ns-b"))
    assert [line for line in reported(answer) if not line.startswith("message")] == ["attempted ns-a", "attempted ns-b"]
    (account.slurm / "sbatch.dies").unlink()
    account.submit(*convoy("ns-a", "ns-b"))
    assert account.jobs() == ["101", "102"]


@pytest.mark.parametrize(
    ("code", "words", "outcome"),
    [
        (255, "sbatch: unrecognized option '--bogus'", "failed ns-a 255"),
        (255, "Connection to slurm.example.org closed by remote host.", "attempted ns-a"),  # sbatch is a wrapper of ssh
        (137, "sbatch: error: slurm_job_submit: still there", "attempted ns-a"),
    ],
)
def test_what_sbatch_does_not_like_about_an_option_is_a_no_for_certain(
    account: Account, code: int, words: str, outcome: str
) -> None:
    account.refuse(words, code)
    assert reported(account.submit(*convoy("ns-a"))) == [f"message ns-a {words}", outcome]


def test_pods_that_are_not_submitted_in_time_are_stored(
    account: Account,
) -> None:
    assert reported(account.submit(*convoy("ns-a", "ns-b"), seconds="0")) == ["stored ns-a", "stored ns-b"]
    assert account.calls("sbatch") == []
    assert account.ask("recover", sidecar="s", owns="").all("again") == ["./ns-a", "./ns-b"]  # by the next sidecar
    assert reported(account.submit("ns-a ns-b", b"")) == ["submitted ns-a 101", "submitted ns-b 102"]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("pulling docker://app", "pulling ns-a docker://app"),
        ("failing ErrImagePull no route", "failing ns-a ErrImagePull no route"),
        ("failed ErrImageNeverPull no such image", "unpullable ns-a ErrImageNeverPull no such image"),
        ("", "pulling ns-a "),
    ],
)
def test_a_pod_waits_for_its_images_without_being_sent_again(account: Account, said: str, answer: str) -> None:
    script = b'[ "$1 ${2##*/}" = "ask ns-a" ] && cat "$2/said"\n'  # see pull.sh
    files = {"job.sh": b"# ns-a\n", "images.first": b"", "pull.sh": script, "said": f"{said}\n".encode()}
    payload = archive("ns-a", [File(name, text, 0o600) for name, text in files.items()])
    assert reported(account.submit("ns-a", payload)) == [answer]
    assert account.calls("sbatch") == []
    assert account.ask("recover", sidecar="s", owns="").all("again") == ["./ns-a"]
    (account.root / "ns-a/said").write_text("ready\n")
    assert reported(account.submit("ns-a", b"")) == ["submitted ns-a 101"]
    assert account.ask("recover", sidecar="s", owns="").all("again") == []


@pytest.mark.parametrize("own", [b"", b"lib=../.remote-slurm/lib/0a1b\n"])
@pytest.mark.parametrize(
    "line", [b"lib=/opt/lib", b"lib=volumes/script", b"lib=../.remote-slurm/lib/../../ns-a/volumes/script"]
)
def test_words_of_a_pod_do_not_name_the_script_that_pulls_its_images(account: Account, own: bytes, line: bytes) -> None:
    """They may have several lines, as scripts do."""
    found = account.root / ".remote-slurm/lib/0a1b" if own else account.root / "ns-a"
    files = {
        "job.sh": b"# ns-a\n" + own + b"container main \\\n    sh -c 'set -e\n" + line + b"\n'\n",
        "images.first": b"",
        "volumes/script/pull.sh": f"touch {account.home}/ran; echo ready\n".encode(),
    }
    found.mkdir(parents=True)
    (found / "pull.sh").write_text("echo pulling docker://app\n")
    if not own:  # versions before have it in the pod's folder
        files["pull.sh"] = (found / "pull.sh").read_bytes()
        shutil.rmtree(found)
    payload = archive("ns-a", [File(name, text, 0o600) for name, text in files.items()])
    assert reported(account.submit("ns-a", payload)) == ["pulling ns-a docker://app"]
    assert not (account.home / "ran").exists()


def submitted_twice_at_once(account: Account) -> list[Reply]:
    pods, payload = convoy("ns-a", "ns-b")
    answers: list[Reply] = []
    first, second = (
        threading.Thread(
            target=lambda each=each: answers.append(account.submit(pods, payload, incoming=each, wait_seconds="9"))
        )
        for each in (".remote-slurm/incoming/1", ".remote-slurm/incoming/2")
    )
    for thread in (first, second):
        thread.start()
    for thread in (first, second):
        thread.join()
    return answers


def test_pods_attempted_by_another_script_wait_for_their_ids_together(account: Account) -> None:
    account.tell("sbatch.slow", "0.3")
    answers = submitted_twice_at_once(account)
    jobs = {job: (account.slurm / "jobs" / job / "command").read_text().split("/")[-2] for job in account.jobs()}
    assert sorted(jobs.values()) == ["ns-a", "ns-b"]
    assert [sorted(reported(answer)) for answer in answers] == [
        sorted(f"submitted {pod} {job}" for job, pod in jobs.items())
    ] * 2


def test_a_pod_attempted_by_another_script_waits_for_the_refusal(account: Account) -> None:
    account.command("sbatch", 'echo sbatch >>"$SLURM/calls"; sleep 0.3; echo "sbatch: error: no" >&2; exit 3')
    answers = submitted_twice_at_once(account)
    no = sorted(line for pod in ("ns-a", "ns-b") for line in (f"message {pod} sbatch: error: no", f"failed {pod} 3"))
    assert [sorted(reported(answer)) for answer in answers] == [no] * 2
    assert account.calls("sbatch") == ["sbatch"] * 2


def test_half_an_id_is_none(account: Account) -> None:
    account.submit(*convoy("ns-a"))
    (account.root / "ns-a/job.id").write_text("10")
    assert reported(account.submit(*convoy("ns-a"))) == ["attempted ns-a"]
    (account.root / "ns-a/job.id").write_text("")
    assert reported(account.submit(*convoy("ns-a"))) == ["attempted ns-a"]


def test_a_delete_right_before_the_attempt_leaves_nothing(account: Account) -> None:
    deleted = f'touch "{account.claims}/ns-a.deleted"; echo ready\n'.encode()
    files = {"job.sh": b"# ns-a\n", "images.first": b"", "pull.sh": deleted}
    payload = archive("ns-a", [File(name, text, 0o600) for name, text in files.items()])
    assert reported(account.submit("ns-a", payload)) == ["deleted ns-a"]
    assert account.calls("sbatch") == []
    assert {path.name for path in account.root.iterdir()} == {".remote-slurm"}
    assert [path.name for path in account.claims.iterdir()] == ["ns-a.deleted"]


def test_a_delete_that_comes_while_sbatch_runs_cancels_the_job(account: Account) -> None:
    account.command("sbatch", f'touch "{account.claims}/ns-a.deleted"; echo 300')
    assert reported(account.submit(*convoy("ns-a", "ns-b"))) == ["submitted ns-a 300", "submitted ns-b 300"]
    assert account.calls("scancel") == ["scancel 300"]


def test_pods_without_files_are_short_and_do_not_hold_up_others(account: Account) -> None:
    answer = account.submit("ns-a ns-b", packed("ns-b"))
    assert reported(answer) == ["short ns-a", "submitted ns-b 101"]


def test_an_archive_that_cannot_be_unpacked_is_short_for_all(account: Account) -> None:
    answer = account.submit("ns-a ns-b", gzip.compress(b"no archive" * 100))
    assert reported(answer) == ["short ns-a", "short ns-b"]
    assert "tar" in answer.messages
    assert account.calls("sbatch") == []


def test_a_percent_sign_in_the_folder_is_not_a_pattern_for_sbatch(tmp_path: Path) -> None:
    account = Account(tmp_path, SHELLS[0], root="100%jobs")
    account.submit(*convoy("ns-a"))
    arguments = (account.slurm / "jobs/101/arguments").read_text().split("\n")
    assert f"--output={tmp_path}/100%%jobs/ns-a/job-%j.out" in arguments


def test_archives_one_after_another_are_one() -> None:
    with tarfile.open(fileobj=io.BytesIO(convoy("ns-a", "ns-b")[1]), mode="r:gz", ignore_zeros=True) as tar:
        names = tar.getnames()
    assert names == [
        f"{pod}{rest}"
        for pod in ("ns-a", "ns-b")
        for rest in ("/job.sh", "/volumes", "/volumes/data", "/volumes/data/key")
    ]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
