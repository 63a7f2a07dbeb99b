"""What runs beside a container: hooks, probes, and commands in it."""

import os
import shutil
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import pytest

from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.shell import quote, words
from tests.job.node import BASH, PATIENCE, POD, Node, sh, until

FOREVER = sh("exec sleep 300")
NOW = "0 1 60"  # delay, period and timeout of a probe that comes at once and often


def here(script: str) -> str:
    """An action inside a container that runs on the node itself."""
    return f"exec_in_container {sh(script)}"


@pytest.fixture
def answers() -> Iterator["Answers"]:
    with Answers() as server:
        yield server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate, and its key."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=nobody", "-days", "1", "-keyout", path, "-out", path.with_suffix(".crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


class Answers(ThreadingHTTPServer):
    """An HTTP server whose status a test decides, and which remembers what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.leads: dict[str, str] = {}
        self.delay = 0.0
        self.endless = False
        self.asked: list[tuple[str, dict[str, str]]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def over_tls(self, certificate: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """A probe that was killed hangs up."""


class _Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        time.sleep(self.server.delay)
        to = self.server.leads.get(self.path)
        status = self.server.status if to is None else 302
        self.send_response(404 if self.path == "/missing" else status)
        if to:
            self.send_header("Location", to)
        self.end_headers()
        with suppress(OSError):  # the client has read enough
            while self.server.endless:
                self.wfile.write(b"x" * 1024)

    def log_message(self, *_: object) -> None:
        pass


def waiting(node: Node, name: str = "main") -> Record | None:
    record = node.record(name)
    return record if record and record.phase is ContainerPhase.WAITING else None


# --- probes -----------------------------------------------------------------------------------------------------------


def test_between_two_probes_lies_the_period(node: Node) -> None:
    probe = here("date +%s >>times; exit 1")
    node.run(f"exec_mode clone\nprobe liveness 0 3 60 1 3 '' {probe}\ncontainer main {FOREVER}")
    first, *_, last = map(int, (node.pod / "times").read_text().split())
    assert last - first >= 5


def test_readiness_comes_and_goes_with_its_probe(node: Node) -> None:
    calls = f"exec_mode clone\nprobe readiness {NOW} 1 1 '' {here('[ -e ready ] || { echo no file; exit 1; }')}\n"
    job = node.start(f"{calls}container main {FOREVER}")
    until(lambda: (record := waiting(node)) and record.message == "its readiness probe failed: no file")
    assert waiting(node).reason == "NotReady"
    (node.pod / "ready").touch()
    until(lambda: node.is_running("main"))
    (node.pod / "ready").unlink()
    until(lambda: waiting(node))
    job.term()
    assert job.end().code == 143


def test_successes_and_failures_count_in_a_row(node: Node) -> None:
    every_other = here("echo >>probes; [ -e steady ] || exit $(($(wc -l <probes) % 2))")
    job = node.start(f"exec_mode clone\nprobe readiness {NOW} 2 2 '' {every_other}\ncontainer main {FOREVER}")
    until(lambda: (node.pod / "probes").exists() and len((node.pod / "probes").read_text()) >= 6)
    assert waiting(node).message == "its readiness probe has not succeeded yet"
    (node.pod / "steady").touch()
    until(lambda: node.is_running("main"))
    job.term()
    job.end()


def test_a_probe_with_exit_code_78_fails_like_any_other(node: Node) -> None:
    ends_well = sh("trap 'exit 0' TERM; while :; do sleep 0.05; done")
    probe = f"probe liveness {NOW} 1 1 '' {here('echo unwell; exit 78')}"
    assert node.run(f"exec_mode clone\n{probe}\ncontainer main {ends_well}").code == 143
    assert node.ended("main").message == "the liveness probe failed: unwell"


def test_a_failed_liveness_probe_restarts_by_restart_policy(node: Node) -> None:
    script = (
        "trap 'rm ill; echo told >>runs; exit 0' TERM; [ -e runs ] || touch ill; "
        "echo run >>runs; while :; do sleep 0.05; done"
    )
    alive = here("[ ! -e ill ] || { echo unwell; exit 1; }")
    calls = f"restart_policy OnFailure\nexec_mode clone\nprobe liveness {NOW} 1 2 '' {alive}\n"
    job = node.start(f"{calls}container main {sh(script)}")
    until(lambda: (record := node.record("main")) and record.restarts == 1)
    assert (node.pod / "runs").read_text().split()[:2] == ["run", "told"]
    last = node.record("main").last
    assert (last.exit_code, last.message) == (143, "the liveness probe failed: unwell")
    job.term()
    assert job.end().code == 143


def test_a_probe_that_fails_during_a_stop_is_no_reason(node: Node) -> None:
    """Who closes its port first when it is asked to end is not unhealthy."""
    calls = f"exec_mode clone\nprobe liveness {NOW} 1 1 '' {here('[ ! -e closed ] || { touch probed; exit 1; }')}\n"
    ends = "touch closed; until [ -e probed ]; do sleep 0.05; done; sleep 0.5; exit 5"
    job = node.start(
        f"{calls}container main {sh(f'trap {quote(ends)} TERM; echo ready; while :; do sleep 0.05; done')}"
    )
    until(lambda: node.is_running("main") and node.log("main") == "ready\n")
    job.term()
    assert job.end().code == 5
    assert node.ended("main").message == "the job was told to stop"


def test_the_output_of_a_probe_is_reported_on_one_short_line(node: Node) -> None:
    long = here(r"printf 'one\n\ttwo\n'; printf %0400d 0; exit 1")
    node.run(f"exec_mode clone\nprobe liveness {NOW} 1 1 '' {long}\ncontainer main {FOREVER}")
    assert node.ended("main").message == f"the liveness probe failed: one two {'0' * 291}"


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        (f"probe startup {NOW} 1 1 '' {here('exit 1')}", "its startup probe has not succeeded yet"),
        (f"post_start {here('exit 1')}", "its postStart hook is running"),
    ],
    ids=["startup probe", "postStart"],
)
def test_a_container_stopped_before_it_was_ready_is_never_ready(node: Node, calls: str, words: str) -> None:
    ends = "touch told; until [ -e go ]; do sleep 0.02; done; exit 5"
    slow = sh(f"trap {quote(ends)} TERM; touch up; while :; do sleep 0.05; done")
    wait = calls.replace("exit 1", "until [ -e up ]; do sleep 0.02; done; exit 1")
    job = node.start(f"exec_mode clone\n{wait}\ncontainer main {slow}")
    until((node.pod / "told").exists)
    time.sleep(0.5)
    assert waiting(node).message == words
    (node.pod / "go").touch()
    assert job.end().code == 5


def slowly_recorded(node: Node) -> str:
    """A probe that fails as soon as a record is written after it has succeeded; that takes two seconds here."""
    mv = node.root / "mv"
    mv.write_text('#!/bin/sh\ncase $* in *" records/main") touch recording; sleep 2 ;; esac\nexec /bin/mv "$@"\n')
    mv.chmod(0o755)
    up, ill = "[ -e up ] || { rm recording; touch up; exit 0; }", "until [ -e recording ]; do sleep 0.02; done; exit 1"
    return here(f"{up}; {ill}")


def test_a_liveness_probe_may_fail_while_a_record_is_written(node: Node) -> None:
    probe = slowly_recorded(node)
    calls = f"exec_mode clone\nprobe startup {NOW} 1 1 '' {probe}\nprobe liveness {NOW} 1 1 '' {probe}"
    assert node.run(f"{calls}\ncontainer main {FOREVER}", prefix=f'PATH="{node.root}:$PATH"').code == 143
    assert node.ended("main").message == "the liveness probe failed"


def test_events_during_a_record_are_recorded_after_it(node: Node) -> None:
    calls = f"exec_mode clone\nprobe readiness {NOW} 1 1 '' {slowly_recorded(node)}"
    job = node.start(f"{calls}\ncontainer main {FOREVER}", prefix=f'PATH="{node.root}:$PATH"')
    until(lambda: (record := waiting(node)) and record.message == "its readiness probe failed")
    places = node.pod / "records" / "main", node.control / "spool" / f"{POD}.main"
    until(lambda: places[0].read_text() == places[1].read_text())
    job.term()
    job.end()


def test_without_a_policy_it_has_failed(node: Node) -> None:
    calls = f"exec_mode clone\nprobe liveness {NOW} 1 1 '' {here('exit 1')}\n"
    assert node.run(f"{calls}container main {sh('trap exit TERM; while :; do sleep 0.05; done')}").code == 143
    record = node.ended("main")
    assert (record.exit_code, record.message, record.reason) == (143, "the liveness probe failed", "Unhealthy")


def test_a_probe_has_a_grace_period_of_its_own(node: Node) -> None:
    calls = f"exec_mode clone\nprobe liveness {NOW} 1 1 1 {here('until [ -e up ]; do sleep 0.02; done; exit 1')}\n"
    assert node.run(f"{calls}container main {sh('trap : TERM; touch up; while :; do sleep 0.05; done')}").code == 137


def test_no_other_probe_begins_before_the_startup_probe_has_succeeded(node: Node) -> None:
    calls = [
        "exec_mode clone",
        f"probe startup {NOW} 1 99 '' {here('[ -e up ]')}",
        f"probe readiness {NOW} 1 1 '' {here('[ -e up ] || touch early')}",
        f"probe liveness {NOW} 1 1 '' {here('[ -e up ] || touch early')}",
        f"container main {FOREVER}",
    ]
    job = node.start("\n".join(calls))
    until(lambda: waiting(node))
    assert waiting(node).message == "its startup probe has not succeeded yet"
    time.sleep(1.5)
    (node.pod / "up").touch()
    until(lambda: node.is_running("main"))
    assert not (node.pod / "early").exists()
    job.term()
    job.end()


def test_a_startup_probe_gives_time_to_each_run(node: Node) -> None:
    """A liveness probe that begins before would end a container that starts slowly, run after run."""
    run = "echo >>runs; [ $(wc -l <runs) -ge 2 ] || { sleep 1.5; exit 3; }; sleep 2; touch up; exec sleep 300"
    calls = [
        "exec_mode clone",
        "restart_policy OnFailure",
        f"probe startup {NOW} 1 20 '' {here('[ $(wc -l <runs) -lt 2 ] || [ -e up ]')}",
        f"probe liveness {NOW} 1 1 '' {here('[ $(wc -l <runs) -lt 2 ] || [ -e up ] || { touch early; exit 1; }')}",
        f"container main {sh(run)}",
    ]
    job = node.start("\n".join(calls))
    until((node.pod / "up").exists, 60)
    until(lambda: node.is_running("main"), 60)
    assert not (node.pod / "early").exists()
    assert node.record("main").restarts == 1
    job.term()
    job.end()


def test_a_startup_probe_that_fails_too_often_ends_the_container(node: Node) -> None:
    calls = f"exec_mode clone\nprobe startup {NOW} 1 2 '' {here('echo >>probes; exit 1')}\n"
    assert node.run(f"{calls}container main {FOREVER}").code == 143
    assert node.ended("main").message == "the startup probe failed"
    assert len((node.pod / "probes").read_text()) == 2


def test_a_probe_that_takes_too_long_has_failed_and_all_of_it_is_gone(node: Node) -> None:
    calls = f"exec_mode clone\nprobe liveness 0 1 1 1 1 '' {here('sleep 300 & sleep 300')}\n"
    assert node.run(f"{calls}container main {FOREVER}").code == 143
    assert node.ended("main").message == "the liveness probe failed: it took longer than 1 s"


def test_a_killed_probe_is_not_reported_as_a_timeout(node: Node) -> None:
    """As the kernel does, where memory runs out."""
    calls = f"exec_mode clone\nprobe liveness {NOW} 1 1 '' {here('kill -KILL $$')}\n"
    assert node.run(f"{calls}container main {FOREVER}").code == 143
    assert "the liveness probe failed" in node.ended("main").message
    assert "took longer" not in node.ended("main").message


def test_probes_that_are_over_leave_nothing_behind(node: Node) -> None:
    """Neither what they have started, nor what waits for the end of their time."""
    probe = here("sleep 300 >/dev/null 2>&1 & echo >>probes")
    job = node.start(f"exec_mode clone\nprobe readiness 0 1 1234 1 1 '' {probe}\ncontainer main {sh('exec sleep 299')}")
    until(lambda: (node.pod / "probes").exists() and len((node.pod / "probes").read_text()) >= 4)
    until(lambda: node.is_running("main") and len(sleepers(node, "300", "1234")) <= 2)  # those of the last one
    job.term()
    job.end()


def sleepers(node: Node, *seconds: str) -> list[str]:
    """What sleeps for so long, of this node's jobs."""
    found = []
    for process in node.processes():
        with suppress(OSError):  # it has ended
            words = (Path("/proc") / process / "cmdline").read_bytes().decode().split("\0")
            found += [process for each in seconds if words[:2] == ["sleep", each]]
    return found


@pytest.mark.parametrize("kind", ["startup", "readiness", "liveness"])
def test_the_first_probe_comes_after_its_delay(node: Node, kind: str) -> None:
    calls = f"exec_mode clone\nprobe {kind} 2 1 5 1 1 '' {here('date +%s >probed.new; mv probed.new probed; exit 1')}\n"
    job = node.start(f"{calls}container main {FOREVER}")
    until((node.pod / "probed").exists)
    first = int((node.pod / "probed").read_text())
    job.term()
    job.end()
    assert first - node.ended("main").started >= 1


def test_being_ready_is_recorded_once_however_often_it_is_seen(node: Node) -> None:
    job = node.start(f"exec_mode clone\nprobe readiness {NOW} 1 1 '' {here('echo >>probes')}\ncontainer main {FOREVER}")
    until(lambda: node.is_running("main"))
    before = node.record("main")
    until(lambda: len((node.pod / "probes").read_text()) >= 4)
    assert node.record("main") == before
    job.term()
    job.end()


def test_the_delay_of_a_probe_counts_from_the_containers_start(node: Node) -> None:
    """The runtime, which is played here, takes its time before: where it unpacks an image, that may be minutes."""
    podman = node.root / "podman"
    podman.write_text("#!/bin/sh\ncase $1 in container) [ -e up ] && echo true ;; esac\n")
    podman.chmod(0o755)
    calls = [
        f"use_podman\npodman=({podman})\nexec_mode runtime {podman} exec",
        "SECONDS=1000 process_started=1000",
        "(sleep 1.1; touch up) &",
        "await_container_process",
        'say "$((process_started > 1000))"',
    ]
    assert node.run("\n".join(calls)).output == "remote-slurm: 1\n"


def test_a_probe_that_hangs_ends_with_its_container(node: Node) -> None:
    calls = f"exec_mode clone\nprobe readiness 0 1 300 1 1 '' {here('touch probed; sleep 300')}\n"
    assert node.run(f"{calls}container main {sh('until [ -e probed ]; do sleep 0.05; done; exit 4')}").code == 4


def test_every_word_of_a_probe_arrives_byte_for_byte(node: Node) -> None:
    hostile = ["", " a  b", "$(touch x)", "`id`", "a'b", 'a"b', "a\nb", "*", "\\n", "-n", "ünï"]
    command = words(
        ["sh", "-c", 'for each; do printf "%s\\0" "$each"; done >words.new; mv words.new words', "sh", *hostile]
    )
    job = node.start(
        f"exec_mode clone\nprobe liveness {NOW} 1 1 '' exec_in_container {command}\ncontainer main {FOREVER}"
    )
    until((node.pod / "words").exists)
    job.term()
    job.end()
    assert (node.pod / "words").read_text().split("\0")[:-1] == hostile


# --- actions ----------------------------------------------------------------------------------------------------------


def action(node: Node, call: str, path: str = "") -> tuple[int, str]:
    """The exit code of a probe's action, and what it says."""
    set_path = f"PATH={path}\n" if path else ""
    ended = node.run(f"{set_path}{call}\nprintf 'exit %s\\n' $?")
    said, _, code = ended.output.rpartition("exit ")
    return int(code), said.strip()


# The HTTP clients that a node may have
CLIENTS = ("curl", "wget", "busybox")
needs_headers = pytest.mark.parametrize("client", CLIENTS[:2])


def tools(node: Node, *names: str) -> str:
    """A PATH with these programs, and what the runner itself needs. `busybox` is its wget."""
    folder = node.root / "bin"
    folder.mkdir(exist_ok=True)
    needed = ["sh", "env", "uname", "cat", "sed", "head", "tail", "tr", "rm", "mkdir", "mv", "ln", "readlink", "sleep"]
    for name in (*names, *needed):
        found = shutil.which(name)
        if name in CLIENTS and found is None:
            pytest.skip(f"{name} is not on this machine")
        assert found, f"{name} is not on this machine"
        (folder / ("wget" if name == "busybox" else name)).symlink_to(found)
    return str(folder)


@needs_headers
def test_the_pods_own_headers_replace_ours(node: Node, answers: Answers, client: str) -> None:
    """A header that is sent twice is one that a server may refuse."""
    headers = words(["user-agent: mine", "X-Empty: ", "X-One: 1"])
    call = f"http_get http 127.0.0.1 {answers.server_port} / {headers}"
    assert action(node, call, tools(node, client)) == (0, "")
    [(_, sent)] = answers.asked
    given = {name.lower(): value.lower() for name, value in sent.items()}
    assert (given.pop("accept"), given.pop("accept-encoding", "identity")) == ("*/*", "identity")
    assert given == {
        "host": f"127.0.0.1:{answers.server_port}", "user-agent": "mine", "connection": "close", "x-empty": "",
        "x-one": "1",
    }  # fmt: skip


@pytest.mark.parametrize("client", CLIENTS)
def test_a_probe_names_itself_as_a_kubelet_does(node: Node, answers: Answers, client: str) -> None:
    assert action(node, f"http_get http 127.0.0.1 {answers.server_port} /", tools(node, client)) == (0, "")
    assert answers.asked[0][1]["User-Agent"] == "kube-probe/remote-slurm"


def test_an_empty_header_of_our_own_is_omitted(node: Node, answers: Answers) -> None:
    headers = words(["User-Agent: ", "Accept: "])
    assert action(node, f"http_get http 127.0.0.1 {answers.server_port} / {headers}", tools(node, "curl")) == (0, "")
    assert not {"User-Agent", "Accept"} & set(answers.asked[0][1])


@pytest.mark.parametrize(("status", "code"), [(200, 0), (399, 0), (400, 1), (503, 1)])
def test_http_get(get: "Get", answers: Answers, status: int, code: int) -> None:
    answers.status = status
    hostile = ['it\'s "quoted" \\ $HOME', "@/etc/hostname", "-o /tmp/x", "#no comment", "{a,b}[1-3]"]
    headers = [f"X-{number}: {value}" for number, value in enumerate(hostile)]
    said = f"{get.words['own']}/a answers with status {status}" if code else ""
    assert get("/a?b=c&d", *headers, "Host: example.org") == (code, said)
    ((path, asked),) = answers.asked
    assert path == "/a?b=c&d"
    assert asked["Host"] == "example.org"
    assert [asked[f"X-{number}"] for number in range(len(hostile))] == hostile


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_http_get_by_busybox(
    node: Node, answers: Answers, certificate: Path, scheme: str, status: int, code: int
) -> None:
    if scheme == "https":
        answers.over_tls(certificate)
    answers.status = status
    call = f"http_get {scheme} 127.0.0.1 {answers.server_port} /a"
    said = f"{scheme}://127.0.0.1:{answers.server_port}/a answers with status {status}" if code else ""
    assert action(node, call, tools(node, "busybox")) == (code, said)
    assert [path for path, _ in answers.asked] == ["/a"]


@pytest.mark.parametrize("given", ["'/a?token=secret'", "/a 'Authorization: secret'"])
def test_busybox_is_given_nothing_that_may_be_secret(node: Node, answers: Answers, given: str) -> None:
    code, said = action(node, f"http_get http 127.0.0.1 {answers.server_port} {given}", tools(node, "busybox"))
    assert (code, answers.asked) == (78, [])
    assert said == (
        f"httpGet with httpHeaders or a query needs curl or GNU wget, and node {os.uname().nodename} has only the wget "
        "of BusyBox, whose arguments all users of the node can read: ask the site to install curl"
    )


def all_arguments() -> list[bytes]:
    """Of every process, since an HTTP client has no variable of its job."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes())
    return found


@pytest.mark.parametrize("client", CLIENTS[:2])
def test_no_header_or_query_is_an_argument(node: Node, answers: Answers, client: str) -> None:
    """All users of a node can read the arguments of each process."""
    answers.delay = 5
    secret = os.urandom(8).hex()
    call = f"http_get http 127.0.0.1 {answers.server_port} '/?token={secret}' 'Authorization: {secret}'"
    job = node.start(f"PATH={tools(node, client)}\n{call}")
    until(lambda: answers.asked)
    seen = all_arguments()
    assert any(f"/{client}\0".encode() in each or each.startswith(f"{client}\0".encode()) for each in seen)
    assert not [each for each in seen if secret.encode() in each]
    job.end()
    assert answers.asked[0][1]["Authorization"] == secret


@pytest.mark.parametrize("client", CLIENTS)
def test_neither_a_proxy_nor_settings_of_the_account_apply(node: Node, answers: Answers, client: str) -> None:
    """A container may have written them: its home folder may be the account's."""
    for name, text in ((".curlrc", "proxy = 127.0.0.1:1\n"), (".wgetrc", "http_proxy = http://127.0.0.1:1\n")):
        (node.root / name).write_text(text)
    (node.root / ".netrc").write_text("machine 127.0.0.1 login one password two\n")
    proxies = "export http_proxy=http://127.0.0.1:1 HTTP_PROXY=http://127.0.0.1:1 ALL_PROXY=http://127.0.0.1:1\n"
    call = f"{proxies}http_get http 127.0.0.1 {answers.server_port} /"
    assert action(node, call, tools(node, client)) == (0, "")
    assert "Authorization" not in answers.asked[0][1]
    assert not list(node.root.glob(".wget-hsts"))


@pytest.mark.parametrize("client", CLIENTS)
def test_a_body_without_an_end_is_not_waited_for(node: Node, answers: Answers, client: str) -> None:
    """A kubelet reads 10 KiB of it."""
    answers.endless = True
    assert action(node, f"http_get http 127.0.0.1 {answers.server_port} /", tools(node, client)) == (0, "")


class Get:
    """What http_get makes of a path, and words for where the server is."""

    def __init__(self, node: Node, answers: Answers, scheme: str, path: str) -> None:
        self._node, self._path = node, path
        self._call = f"http_get {scheme} 127.0.0.1 {answers.server_port}"
        host = f"127.0.0.1:{answers.server_port}"
        self.words = {"own": f"{scheme}://{host}", "host": host, "unfollowed": "was not followed:"}

    def __call__(self, path: str, *headers: str) -> tuple[int, str]:
        return action(self._node, f"{self._call} {quote(path)} {words(headers)}", self._path)


@pytest.fixture(params=[(client, scheme) for client in CLIENTS[:2] for scheme in ("http", "https")], ids="-".join)
def get(request: pytest.FixtureRequest, node: Node, answers: Answers, certificate: Path) -> Get:
    client, scheme = request.param
    if scheme == "https":
        answers.over_tls(certificate)
    return Get(node, answers, scheme, tools(node, client))


@pytest.mark.parametrize(
    ("leads", "code", "asked", "said"),
    [
        ({"/a?b": "/c?d=e#part"}, 0, ["/a?b", "/c?d=e"], ""),
        ({"/a?b": "c", "/c": "?d"}, 0, ["/a?b", "/c", "/c?d"], ""),
        ({"/a?b": "HOME"}, 0, ["/a?b", "/HOME"], ""),
        ({"/a?b": "{own}/c"}, 0, ["/a?b", "/c"], ""),
        ({"/a?b": "{own}"}, 0, ["/a?b", "/"], ""),
        ({"/a?b": "//{host}/c"}, 0, ["/a?b", "/c"], ""),
        ({"/a?b": "/missing"}, 1, ["/a?b", "/missing"], "{own}/missing answers with status 404"),
        ({"/a?b": "http://127.0.0.1:1/x"}, 1, ["/a?b"], "no answer from http://127.0.0.1:1/x"),
        (
            {"/a?b": "http://other.example/x"},
            0,
            ["/a?b"],
            "the redirect to another host {unfollowed} http://other.example/x",
        ),
        ({"/a?b": "http://localhost:1/"}, 0, ["/a?b"], "the redirect to another host {unfollowed} http://localhost:1/"),
        ({"/a?b": ""}, 0, ["/a?b"], ""),
        ({"/a?b": "/a?b"}, 1, ["/a?b"] * 10, "stopped after 10 redirects, the last one to {own}/a"),
    ],
)
def test_redirections_are_followed_on_the_same_host(
    get: Get, answers: Answers, leads: dict[str, str], code: int, asked: list[str], said: str
) -> None:
    answers.leads = {path: to.format_map(get.words) for path, to in leads.items()}
    assert get("/a?b", "A: b") == (code, said.format_map(get.words))
    assert [path for path, _ in answers.asked] == asked
    assert all(headers["A"] == "b" for _, headers in answers.asked)


@pytest.mark.parametrize(
    ("to", "code", "asked", "said"),
    [
        ("/missing", 1, "/missing", "{own}/missing answers with status 404"),
        ("/b", 0, "/b", ""),
        ("http://localhost:1/b", 0, "/a", "the redirect to another host {unfollowed} http://localhost:1/b"),
    ],
)
def test_busybox_follows_redirects_as_the_others_do(
    node: Node, answers: Answers, to: str, code: int, asked: str, said: str
) -> None:
    answers.leads = {"/a": to}
    get = Get(node, answers, "http", tools(node, "busybox"))
    assert get("/a") == (code, said.format_map(get.words))
    assert answers.asked[-1][0] == asked


@pytest.mark.parametrize("leads", ["ftp://127.0.0.1/x", "http://[::1", "http://a b/", "http://127.0.0.1:x/"])
@needs_headers
def test_a_redirect_to_an_invalid_url_fails(node: Node, answers: Answers, leads: str, client: str) -> None:
    answers.leads = {"/": leads}
    own = f"http://127.0.0.1:{answers.server_port}/"
    call = f"http_get http 127.0.0.1 {answers.server_port} /"
    assert action(node, call, tools(node, client)) == (1, f"{own} redirects to an invalid URL: {leads}")


@needs_headers
def test_a_redirect_is_no_pattern(node: Node, answers: Answers, client: str) -> None:
    """Curl makes many requests of one URL with such characters, unless an option prevents that."""
    answers.leads = {"/": "/[1-3]{a,b}"}
    call = f"http_get http 127.0.0.1 {answers.server_port} /"
    assert action(node, call, tools(node, client)) == (0, "")
    assert len(answers.asked) == 2


@pytest.mark.parametrize(
    ("leads", "hosts"), [("/b", ["own.example"] * 2), ("//127.0.0.1:{port}/b", ["own.example", ""])]
)
@needs_headers
def test_a_host_header_applies_unless_the_redirect_names_a_host(
    node: Node, answers: Answers, leads: str, hosts: list[str], client: str
) -> None:
    answers.leads = {"/": leads.format(port=answers.server_port)}
    call = f"http_get http 127.0.0.1 {answers.server_port} / 'Host: own.example'"
    assert action(node, call, tools(node, client)) == (0, "")
    assert [headers["Host"] for _, headers in answers.asked] == [
        host or f"127.0.0.1:{answers.server_port}" for host in hosts
    ]


def test_a_redirect_to_another_host_is_logged_once(node: Node, answers: Answers) -> None:
    answers.leads = {"/": "http://other.example/"}
    probe = f"probe readiness {NOW} 1 3 '' http_get http 127.0.0.1 {answers.server_port} /\n"
    job = node.start(f"{probe}container main {FOREVER}")
    until(lambda: len(answers.asked) > 2)
    assert node.is_running("main")
    job.term()
    said = "the readiness probe of container main succeeds: the redirect to another host was not followed"
    assert job.end().output.count(said) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_http_get_without_any_client_says_so(node: Node, scheme: str) -> None:
    said = f"httpGet needs curl or wget, and node {os.uname().nodename} has neither: ask the site to install curl"
    assert action(node, f"http_get {scheme} 127.0.0.1 1 /", tools(node)) == (78, said)


def test_tcp_socket(node: Node, answers: Answers) -> None:
    assert action(node, f"tcp_socket 127.0.0.1 {answers.server_port}") == (0, "")
    assert action(node, "tcp_socket 127.0.0.1 1") == (1, "no connection to 127.0.0.1 port 1")
    assert action(node, "http_get http 127.0.0.1 1 /") == (1, "no answer from http://127.0.0.1:1/")


@pytest.mark.parametrize(("own", "other", "port"), [("http", "https", 443), ("https", "http", 80)])
def test_an_address_without_a_port_has_that_of_its_scheme(
    node: Node, answers: Answers, certificate: Path, own: str, other: str, port: int
) -> None:
    if own == "https":
        answers.over_tls(certificate)
    answers.leads = {"/": f"{other}://127.0.0.1/x"}
    _, said = action(node, f"http_get {own} 127.0.0.1 {answers.server_port} /", tools(node, "curl"))
    assert said.startswith(f"no answer from {other}://127.0.0.1:{port}/x")


def test_headers_that_wget_reads_of_a_file_do_not_stay_in_it(node: Node, answers: Answers, certificate: Path) -> None:
    """A probe that is over is killed with all that it has begun, be that to clear away."""
    answers.over_tls(certificate)
    get = f"http_get https 127.0.0.1 {answers.server_port} / 'Authorization: secret'"
    assert action(node, f"{get}; grep -rl secret .runner", tools(node, "wget", "grep")) == (1, "")
    assert answers.asked[0][1]["Authorization"] == "secret"


@pytest.mark.parametrize(
    ("mode", "code", "said"),
    [
        (0o755, 3, "-addr=127.0.0.1:50051 -connect-timeout=60s -rpc-timeout=60s"),
        (0o644, 78, "a grpc probe needs grpc_health_probe, and neither the node nor the image has it"),
    ],
)
def test_grpc_asks_the_client_of_the_image_where_the_node_has_none(node: Node, mode: int, code: int, said: str) -> None:
    (node.root / "image").mkdir()
    client = node.root / "image" / "grpc_health_probe"
    client.write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    client.chmod(mode)
    mode = f"exec_mode clone env PATH={client.parent}:/usr/bin:/bin\n"
    assert action(node, f"{mode}grpc 50051 ''") == (code, said)


def test_grpc_asks_the_client_of_the_node(node: Node) -> None:
    client = node.root / "bin" / "grpc_health_probe"
    client.parent.mkdir()
    client.write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    client.chmod(0o755)
    said = "-addr=127.0.0.1:50051 -service=it's -connect-timeout=60s -rpc-timeout=60s"
    path = f"{client.parent}:{os.environ['PATH']}"
    assert action(node, 'grpc 50051 "it\'s"', path) == (3, said)


@pytest.mark.parametrize("policy", ["Never", "Always"])
def test_a_probe_that_nothing_can_carry_out_fails_the_container_for_good(node: Node, policy: str) -> None:
    calls = f"restart_policy {policy}\nexec_mode clone\nprobe readiness {NOW} 1 3 '' grpc 50051 ''\n"
    assert node.run(f"{calls}container main {FOREVER}").code == 143
    assert node.ended("main").message == (
        "the readiness probe cannot be carried out: "
        "a grpc probe needs grpc_health_probe, and neither the node nor the image has it"
    )


# --- hooks ------------------------------------------------------------------------------------------------------------


def test_post_start_runs_beside_the_container_which_waits_for_it(node: Node) -> None:
    calls = f"exec_mode clone\npost_start {here('until [ -e go ]; do sleep 0.02; done; echo hooked >hook')}\n"
    job = node.start(f"{calls}container main {sh('until [ -e hook ]; do sleep 0.02; done; exec sleep 300')}")
    until(lambda: waiting(node))
    assert waiting(node).message == "its postStart hook is running"
    (node.pod / "go").touch()
    until(lambda: node.is_running("main"))
    job.term()
    assert job.end().code == 143


def test_the_next_container_starts_once_a_post_start_is_over(node: Node) -> None:
    hook = here("until [ -e go ]; do sleep 0.02; done; echo hook >>order")
    calls = f"exec_mode clone\npost_start {hook}\ncontainer first {sh('until [ -e second ]; do sleep 0.02; done')}\n"
    job = node.start(f"{calls}container second {sh('echo second >>order; touch second')}")
    until(lambda: waiting(node, "first"))
    time.sleep(0.5)
    assert not (node.pod / "second").exists()
    (node.pod / "go").touch()
    assert job.end().code == 0
    assert (node.pod / "order").read_text().split() == ["hook", "second"]


@pytest.mark.parametrize(
    ("hook", "script"), [("exit 3", "exec sleep 300"), ("exec sleep 300", "exit 3")], ids=["hook fails", "run ends"]
)
def test_a_post_start_that_comes_to_nothing_holds_up_no_other(node: Node, hook: str, script: str) -> None:
    calls = f"exec_mode clone\npost_start {here(hook)}\ncontainer first {sh(script)}\n"
    node.run(f"{calls}container second {sh('exit 0')}")
    assert node.ended("first").exit_code != 0
    assert node.ended("second").exit_code == 0


def test_a_post_start_without_a_watcher_blocks_no_container(node: Node) -> None:
    killed = sh("until [ -e hooked ]; do sleep 0.02; done; kill -KILL $PPID; exec sleep 300")
    calls = f"exec_mode clone\npost_start {here('touch hooked; exec sleep 300')}\ncontainer first {killed}\n"
    job = node.start(f"{calls}container second {sh('exit 0')}")
    assert job.process.wait(PATIENCE) == 137
    assert node.ended("second").exit_code == 0
    node.clear()
    job.end()


def test_a_container_behind_a_post_start_does_not_start_after_a_stop(node: Node) -> None:
    calls = f"exec_mode clone\npost_start {here('touch hooked; exec sleep 300')}\ncontainer first {FOREVER}\n"
    job = node.start(f"{calls}container second {FOREVER}")
    until((node.pod / "hooked").exists)
    job.term()
    assert job.end().code == 143
    assert "not started" in node.ended("second").message


def test_a_post_start_that_fails_ends_the_container(node: Node) -> None:
    calls = f"exec_mode clone\npost_start {here('echo oh; exit 3')}\n"
    assert node.run(f"{calls}container main {FOREVER}").code == 143
    assert node.ended("main").message == "the postStart hook failed: oh"


def test_a_hook_cut_off_by_the_containers_end_does_not_change_it(node: Node) -> None:
    """The runtime, which is played here, takes a second to go once there is no container any more."""
    podman = node.root / "podman"
    removed = "touch hooked; while [ -e up ]; do sleep 0.02; done; echo it has been removed; exit 125"
    podman.write_text(f"#!/bin/sh\ncase $1 in container) [ -e up ] && echo true ;; exec) {removed} ;; esac\n")
    podman.chmod(0o755)
    calls = f"use_podman\npodman=({podman})\nexec_mode runtime {podman} exec\npost_start exec_in_container true\n"
    script = "touch up; until [ -e hooked ]; do sleep 0.02; done; rm up; sleep 1; exit 3"
    assert node.run(f"{calls}container main {sh(script)}").code == 3
    assert (node.ended("main").exit_code, node.ended("main").message) == (3, "")


def test_shared_container_names_begin_with_their_pod(node: Node) -> None:
    """In podman-hpc's storage; what is left of them when their job is over is removed, and no other pod's."""
    podman = node.root / "podman"
    podman.write_text(f'#!/bin/sh\necho "$*" >>{node.root}/asked\ncase $1 in container) echo true ;; esac\n')
    podman.chmod(0o755)
    hooks = f"exec_mode runtime {podman} exec\npost_start exec_in_container true\nrestart_policy OnFailure\n"
    script = sh("[ -e again ] || { touch again; sleep 1; exit 3; }")
    assert node.run(f"use_podman\npodman_of_site {podman}\n{hooks}container main {script}").code == 0
    removal = rf"rm --force --time 0 --filter name=^{POD}\."
    until(lambda: removal in (node.root / "asked").read_text().splitlines())
    asked = (node.root / "asked").read_text().splitlines()
    assert f"rm --force --time 0 --ignore {POD}.main" in asked
    assert set(asked) - {removal} == {
        f"container inspect --format {{{{.State.Running}}}} {POD}.main",
        f"rm --force --time 0 --ignore {POD}.main",
        "exec true",
    }


@pytest.mark.parametrize("name", ["TERM", "USR1", "QUIT"])
def test_pre_stop_comes_before_the_signal_and_sees_the_container_alive(node: Node, name: str) -> None:
    script = f"trap 'echo told >>order; exit 6' {name}; echo ready; while :; do echo >alive; sleep 0.05; done"
    hook = "rm alive; until [ -e alive ]; do sleep 0.02; done; echo hook >>order"
    job = node.start(f"exec_mode clone\nstop_signal {name}\npre_stop {here(hook)}\ncontainer main {sh(script)}")
    until(lambda: node.is_running("main") and node.log("main") == "ready\n")
    job.term()
    assert job.end().code == 6
    assert (node.pod / "order").read_text().split() == ["hook", "told"]


def test_pre_stop_does_not_run_when_the_container_ends_by_itself(node: Node) -> None:
    assert node.run(f"exec_mode clone\npre_stop {here('touch hooked')}\ncontainer main {sh('exit 3')}").code == 3
    assert not (node.pod / "hooked").exists()


def test_pre_stop_runs_when_a_liveness_probe_fails(node: Node) -> None:
    calls = f"exec_mode clone\npre_stop {here('touch hooked')}\nprobe liveness {NOW} 1 1 '' {here('exit 1')}\n"
    assert node.run(f"{calls}container main {FOREVER}").code == 143
    assert (node.pod / "hooked").exists()


def test_a_failed_pre_stop_is_reported_and_the_container_ends(node: Node) -> None:
    job = node.start(f"exec_mode clone\npre_stop {here('echo oh; exit 3')}\ncontainer main {FOREVER}")
    until(lambda: node.is_running("main"))
    job.term()
    ended = job.end()
    assert ended.code == 143
    assert ended.output == "remote-slurm: the preStop hook of container main failed with exit code 3: oh\n"


def test_an_overlong_pre_stop_uses_up_the_grace_period(node: Node) -> None:
    script = "trap 'echo told; exit 6' TERM; echo ready; while :; do sleep 0.05; done"
    job = node.start(f"exec_mode clone\npre_stop sleep 300\ncontainer main {sh(script)}", grace=3)
    until(lambda: node.is_running("main") and node.log("main") == "ready\n")
    job.term()
    assert job.end().code == 6
    assert node.log("main") == "ready\ntold\n"


def test_a_long_pre_stop_leaves_the_container_two_seconds(node: Node) -> None:
    script = "trap 'sleep 1.5; exit 6' TERM; echo ready; while :; do sleep 0.05; done"
    job = node.start(f"exec_mode clone\npre_stop sleep 2.5\ncontainer main {sh(script)}", grace=3)
    until(lambda: node.is_running("main") and node.log("main") == "ready\n")
    job.term()
    assert job.end().code == 6


def test_a_hook_ends_with_its_container(node: Node) -> None:
    script = "until [ -e hooking ]; do sleep 0.05; done; exit 4"
    job = node.start(f"exec_mode clone\npre_stop {here('touch hooking; sleep 300')}\ncontainer main {sh(script)}")
    until(lambda: node.is_running("main"))
    job.term()
    assert job.end().code == 4


# --- commands in a container ------------------------------------------------------------------------------------------


def namespaces() -> bool:
    return subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "true"], check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(not namespaces(), reason="this machine has no user namespaces")
# What the machine has, below a root that it does not have
OWN_ROOT = """
mount -t tmpfs none /mnt; echo mine >/mnt/file
for each in bin usr lib lib64 etc proc dev tmp; do
    [ -e /$each ] && mkdir /mnt/$each && mount --rbind /$each /mnt/$each
done
exec chroot /mnt "$@"
"""
IN_NAMESPACE = "unshare --user --map-root-user --mount --pid --fork --mount-proc "
BECOMING_IT = (
    "unshare --user --map-root-user --mount "  # as enroot does, which leaves nothing in front of the container
)
IT_SLEEPS = "for each in $(pgrep sleep); do [ /proc/$each/root/. -ef /. ] && mv {folder}/seen.new {folder}/seen; done"


@needs_namespaces
@pytest.mark.parametrize("in_namespace", [IN_NAMESPACE, BECOMING_IT], ids=["below its runtime", "in place of it"])
def test_a_command_joins_namespaces_and_environment(node: Node, in_namespace: str) -> None:
    odd = {"a.b": "odd", "IFS": ",", "options": "o", "_rs": "r", "PATH": os.environ["PATH"], "V": "it's $HOME\n"}
    become = words(["env", "-i", *(f"{name}={value}" for name, value in odd.items()), "sleep", "300"])
    mount = quote(OWN_ROOT)
    look = "cat /file && cat /proc/$$/environ"
    script = f"{{ {look}; }} >{node.pod}/seen.new && {IT_SLEEPS.format(folder=node.pod)}"
    calls = f"exec_mode nsenter false\nprobe readiness {NOW} 1 1 '' exec_in_container sh -c {quote(script)}\n"
    job = node.start(f"{calls}container main {in_namespace} sh -c {mount} sh {become}", grace=1)
    until((node.pod / "seen").exists)
    job.term()
    job.end()
    mine, _, environment = (node.pod / "seen").read_text().partition("\n")
    assert mine == "mine"
    entries = dict(entry.split("=", 1) for entry in environment.split("\0")[:-1])
    assert {name: value for name, value in entries.items() if name not in ("SHLVL", "_")} == odd, "bash adds those two"


@needs_namespaces
@pytest.mark.parametrize("shell", ["shell", ""], ids=["with a shell", "without a shell"])
def test_programs_of_the_node_use_no_container_environment(
    node: Node,
    shell: str,
) -> None:
    """The node's loader would write what LD_DEBUG asks for, and load what LD_PRELOAD names."""
    (node.pod / "volumes" / "cm").mkdir(parents=True)
    evil = {"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": f"{node.pod}/traced", "LD_PRELOAD": "volumes/cm/evil.so"}
    (node.pod / "volumes" / "cm" / "evil.so").write_text("no library")
    run = quote(words(["env", "-i", *(f"{name}={value}" for name, value in evil.items()), "GOOD=kept", "sleep", "300"]))
    hidden = "" if shell else "mount --bind /dev/null /mnt/bin/sh\n"
    root = quote(OWN_ROOT.replace("exec chroot", f"{hidden}exec chroot"))
    look = f"env >{node.pod}/seen.new; mv {node.pod}/seen.new {node.pod}/seen"
    probe = f"exec_mode nsenter false\nprobe readiness {NOW} 1 9 '' exec_in_container bash -c {quote(look)}\n"
    job = node.start(f"{probe}container main {IN_NAMESPACE} bash -c {root} bash bash -c 'exec '{run}", grace=1)
    until((node.pod / "seen").exists)
    job.term()
    job.end()
    used = [text for path in node.pod.glob("traced.*") for text in [path.read_text()] if "bin/nsenter" in text]
    assert used == []
    seen = dict(line.split("=", 1) for line in (node.pod / "seen").read_text().splitlines())
    assert seen["GOOD"] == "kept"
    assert seen.get("LD_PRELOAD") == (evil["LD_PRELOAD"] if shell else None)


def test_what_another_container_mounts_for_a_hook_is_looked_at_again(node: Node) -> None:
    """The one that runs may have put a link there meanwhile."""
    swap = "rm -r volumes/v/it; ln -s /etc volumes/v/it; touch swapped; exec sleep 300"
    calls = f"mkdir -p volumes/v\nsub_path volumes/v it it\nexec_mode clone\npre_stop {here('touch hooked')}"
    job = node.start(f"{calls}\ncontainer main {sh(swap)}")
    until(lambda: node.is_running("main") and (node.pod / "swapped").exists())
    job.term()
    assert job.end().code == 143
    assert not (node.pod / "hooked").exists()


def test_what_cannot_be_joined_is_another_container_with_the_same_words(node: Node) -> None:
    hook = "exec_in_container sh -c 'echo $WORLD >seen.new; mv seen.new seen'"
    job = node.start(f"exec_mode clone env WORLD=alike\npost_start {hook}\ncontainer main {FOREVER}")
    until((node.pod / "seen").exists)
    assert (node.pod / "seen").read_text() == "alike\n"
    job.term()
    job.end()


def test_signals_of_the_site_do_not_confuse_it(node: Node) -> None:
    """SIGUSR1 is what its own processes send to a supervisor; without their files it means nothing."""
    job = node.start(f"container main {sh('echo $PPID; exec sleep 300')}")
    until(lambda: node.is_running("main") and node.log("main").endswith("\n"))
    os.kill(int(node.log("main")), signal.SIGUSR1)
    time.sleep(0.2)
    assert node.is_running("main")
    job.term()
    assert job.end().code == 143


def test_bash_reads_it(node: Node) -> None:
    assert subprocess.run([BASH, "-n", node.pod / "runner.sh"], check=False).returncode == 0
