"""One grammar for records: what bash writes, Python and the login node's shell read, whatever a message holds."""

import subprocess
from dataclasses import replace
from importlib.resources import files
from itertools import cycle

import pytest

from remote_slurm.domain.records import ContainerPhase, LastRun, Record, parse_records
from remote_slurm.domain.shell import quote, words
from remote_slurm.domain.status.job_comment import parse_comment
from tests.job.node import BASH, POD, Node
from tests.job.test_forged_words import WORDS

MESSAGES = (
    *WORDS,
    "",
    "=",
    "\\",
    "\\=",
    "a=b",
    "last=1,2,3,4",
    "reason=Evicted",
    "reason=Evicted last=1,2,3,0 x",
    "run=7",
    "a forged usage and node\t\t1,2,3,4,5,6,cgroup\tn7",
)
RUNNING, WAITING, OVER = ContainerPhase.RUNNING, ContainerPhase.WAITING, ContainerPhase.TERMINATED
HEADS = (
    Record(POD, "c", RUNNING, 1795478290, 0, 0, 0, number=1),
    Record(POD, "c", WAITING, 1795478290, 0, 0, 0, number=0, reason="ContainerCreating"),
    Record(POD, "c", WAITING, 5, 0, 0, 0, number=4, restarts=2, reason="CrashLoopBackOff", last=LastRun(1, 2, 3, 0)),
    Record(POD, "c", OVER, 1, 2, 137, 9, number=7, run=3),
    Record(POD, "c", OVER, 1, 2, 137, 9, number=7, run=3, last=LastRun(1, 0, 137, 9)),
    Record(POD, "c", OVER, 0, 2, 1, 0, number=1, reason="JobStopped"),
    Record(POD, "c", OVER, 1, 2, 255, 0, number=9, run=12, restarts=9, reason="Error", last=LastRun(1, 2, 143, 15)),
)


def hostile() -> list[Record]:
    """Each message with one head at least, and each head with some; the last run's message is another one."""
    later, heads = cycle((*MESSAGES[1:], MESSAGES[0])), cycle(HEADS)
    return [
        replace(head, message=message, last=head.last and replace(head.last, message=next(later)))
        for message, head in zip((*MESSAGES, *MESSAGES), heads, strict=False)
    ]


RECORDS = hostile()


def calls(record: Record, run: str) -> str:
    """Bash that has the runner's variables of the record, and then runs a command with the words of `record`."""
    last = record.last
    ended = f"{last.started},{last.finished},{last.exit_code},{last.signal}" if last else ""
    values = {
        "number": record.number,
        "restarts": record.restarts,
        "last": ended,
        "last_message": last and last.message,
    }
    numbers = (record.started, record.finished, record.exit_code, record.signal)
    read_back = (record.container, record.phase.value, *map(str, numbers), record.reason, record.message)
    lines = [f"{name}={quote('' if value is None else str(value))}" for name, value in values.items()]
    return "\n".join([f"SLURM_RESTART_COUNT={record.run or ''}", *lines, f"{run} {words(read_back)}"])


def bash(node: Node, script: str) -> str:
    text = (
        f"{node.sources('no_shared_fs')}pod={POD} local_root=/x control=../.remote-slurm\nmkdir -p records\n{script}\n"
    )
    (node.pod / "test.sh").write_text(text)
    done = subprocess.run([BASH, "test.sh"], cwd=node.pod, capture_output=True, check=True)
    return done.stdout.decode()


def test_python_reads_what_the_runner_writes(node: Node) -> None:
    script = "\n".join(f"{calls(each, 'build_record')}\nprintf 'v1 %s %s\\n' {POD} \"$line\"" for each in RECORDS)
    assert parse_records(bash(node, script)) == RECORDS


WRITE = f"printf 'v1 %s %s\\n' {POD} \"$line\" >records/c"


def test_the_runner_reads_its_own_records_byte_for_byte(node: Node) -> None:
    again = 'read_record records c; printf "%s\\0" "${state[@]:0:7}" "$number" "$restarts" "$last" "$last_message"'
    script = "\n".join(f"{calls(each, 'build_record')}\n{WRITE}\n{again}" for each in RECORDS)
    read_back = bash(node, script).split("\0")[:-1]
    states = [read_back[at : at + 11] for at in range(0, len(read_back), 11)]
    assert [state[6] for state in states] == [each.message for each in RECORDS]
    assert [state[10] for state in states] == [each.last.message if each.last else "" for each in RECORDS]
    assert [(state[0], state[5]) for state in states] == [(each.phase.value, each.reason) for each in RECORDS]


@pytest.mark.parametrize("most", [4000, 120, 0, -1])
def test_a_comment_has_what_the_record_has_however_much_of_it_is_cut(node: Node, most: int) -> None:
    tell = f"text=; LC_ALL=C; add_record c {most}; printf '%s\\0' \"$text\""
    comments = bash(node, "\n".join(f"{calls(each, 'build_record')}\n{WRITE}\n{tell}" for each in RECORDS)).split("\0")[
        :-1
    ]
    for record, comment in zip(RECORDS, comments, strict=True):
        report = parse_comment(POD, f"at=/x;{comment}over;|mine")
        assert report is not None
        (read_back,) = report.records
        if most == 4000:  # room for all of it
            assert read_back == record
        elif most < 0:
            assert read_back == replace(record, message="", last=None)
        bare = {"message": "", "last": None}
        assert replace(read_back, **bare) == replace(record, **bare)
        assert report.over


ENDED = f"v1 {POD} c terminated 1 2 0 0 record=1 restarts=0 reason=Completed said\\tso\tbefore"


def test_the_node_follows_the_usage_and_both_may_be_missing() -> None:
    usage = "2000,5,3,4,5,6,cgroup"
    lines = (ENDED, f"{ENDED}\t{usage}", f"{ENDED}\t{usage}\tcn-7.x", f"{ENDED}\t\tcn-7.x", f"{ENDED}\t\tno node")
    found = parse_records("".join(f"{line}\n" for line in lines))
    assert [(each.usage is not None, each.node) for each in found] == [
        (False, ""), (True, ""), (True, "cn-7.x"), (False, "cn-7.x"), (False, "")
    ]  # fmt: skip
    assert {each.message for each in found} == {"said\tso"}


def test_the_login_node_reads_the_same_run_out_of_it(node: Node) -> None:
    text = (files("remote_slurm.site") / "operations" / "log.sh").read_text()
    function = text[text.index("read_record() {") : text.index("# Whether nothing more is written")]
    script = "\n".join(
        f"{calls(each, 'build_record')}\nprintf 'v1 %s %s\\n' {POD} \"$line\" >records/{number}"
        for number, each in enumerate(RECORDS)
    )
    bash(node, f"mkdir -p records\n{script}")
    asks = "".join(f"container={number}; read_record; echo $run_key $run_over\n" for number in range(len(RECORDS)))
    done = subprocess.run(
        ["sh", "-c", f"pod={POD}\n{function}\n{asks}"], cwd=node.root, capture_output=True, check=True
    )
    over = [each.phase is OVER or each.reason == "CrashLoopBackOff" for each in RECORDS]
    expected = [
        f"{each.run}.{each.restarts}{' over' if ends else ''}" for each, ends in zip(RECORDS, over, strict=True)
    ]
    assert done.stdout.decode().splitlines() == expected
