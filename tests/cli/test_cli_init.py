"""`remote-slurm init` from its options to the file, over SSH: what it asks, what it refuses, and what it writes."""

import getpass
import io
import os
import pty
import select
import shutil
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from remote_slurm.cli.init import Terminal
from remote_slurm.cli.screen import Screen
from remote_slurm.config import load_config
from remote_slurm.errors import OfferedKey, RemoteSlurmError
from tests.cli.program import Done, Program, ProgramAt
from tests.sidecar import ENVIRONMENT, PATIENCE, PROGRAM
from tests.sites import Site, free_port
from tests.ssh.ssh_server import Sshd, StartSshd, make_key, servers

ME = getpass.getuser()
SLURM = {
    "sbatch": "case $1 in --version) echo slurm 24.11.5 ;; --test-only) cat >/dev/null ;; *) exit 9 ;; esac",
    "squeue": "exit 0",
    "scancel": "exit 0",
    "sinfo": "echo 'main*|up|0/4/0/4|1|idle|1:00:00|(null)'",
    "scontrol": "case $* in *partition) echo PartitionName=main Default=YES ;; *) echo MaxArraySize = 1001 ;; esac",
    "sacct": "exit 1",
    "apptainer": "echo apptainer version 1.4.0",
}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartSshd]:
    """Servers at which SLURM is found."""
    bin_folder, home = tmp_path_factory.mktemp("bin"), tmp_path_factory.mktemp("home")
    for name, text in SLURM.items():
        (bin_folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin_folder / name).chmod(0o755)
    with servers(tmp_path_factory.mktemp) as plain:
        yield lambda *lines, **options: plain(
            f"SetEnv PATH={bin_folder}:{os.environ['PATH']} HOME={home}", *lines, **options
        )


@pytest.fixture(scope="module")
def server(start: StartSshd) -> Sshd:
    return start(host_keys=("ed25519", "rsa"))


def fingerprint(server: Sshd, kind: str = "ed25519") -> str:
    command = ["ssh-keygen", "-lf", server.folder / f"host_{kind}.pub"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]


def init(server: Sshd, folder: Path, *options: object, key: Path | None = None) -> Done:
    where = ["--host", "127.0.0.1", "--port", server.port, "--user", ME]
    key = key or server.folder / "user_ed25519"
    return Program()("init", *where, "--key", key, "--output", folder / "SlurmConfig.yaml", *options)


def refused(folder: Path, done: Done) -> str:
    """The only sentence of a run that has written nothing."""
    assert done.returncode == 1
    assert list(folder.iterdir()) == []
    (line,) = done.stderr.splitlines()
    return line


def test_a_confirmed_key_leads_to_a_file_that_check_accepts(server: Sshd, tmp_path: Path) -> None:
    done = init(server, tmp_path, "--host-key-fingerprint", fingerprint(server))
    assert (done.returncode, done.stderr) == (0, "")
    file, known = tmp_path / "SlurmConfig.yaml", tmp_path / "known_hosts"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, known)] == [0o644, 0o644]
    assert known.read_text() == f"[127.0.0.1]:{server.port} {' '.join(server.host_key.split()[:2])}\n"
    config = load_config(file, {})
    assert (config.container_runtime, config.ssh.user_known_hosts_file) == ("apptainer", known)
    assert f"# Confirmed host keys: [127.0.0.1]:{server.port} ssh-ed25519 {fingerprint(server)}" in file.read_text()
    assert "✓ submission " in done.stdout
    lines = done.stdout.splitlines()
    assert lines[-2:] == [f"  remote-slurm check --config {file} --job", f"  remote-slurm serve --config {file}"]


def test_a_host_key_is_never_accepted_without_a_person(server: Sshd, tmp_path: Path) -> None:
    line = refused(tmp_path, init(server, tmp_path))
    assert (
        f"the host key of [127.0.0.1]:{server.port} is not confirmed: it is ssh-ed25519 {fingerprint(server)}" in line
    )
    assert line.endswith(f"repeat the command with --host-key-fingerprint {fingerprint(server)}")


def test_another_fingerprint_is_refused(server: Sshd, tmp_path: Path) -> None:
    wrong = f"SHA256:{'A' * 43}"
    line = refused(tmp_path, init(server, tmp_path, "--host-key-fingerprint", wrong))
    assert f"has the fingerprint {wrong}: it has ssh-ed25519 {fingerprint(server)}, ssh-rsa" in line
    assert "may be intercepted" in line


def test_a_site_may_publish_the_fingerprint_of_its_other_key(server: Sshd, tmp_path: Path) -> None:
    done = init(server, tmp_path, "--host-key-fingerprint", fingerprint(server, "rsa"))
    assert done.returncode == 0
    assert (tmp_path / "known_hosts").read_text().split()[1] == "ssh-rsa"


def test_messages_name_the_options_of_the_command(server: Sshd, tmp_path: Path) -> None:
    line = refused(tmp_path, init(server, tmp_path, key=Path("/no/such/key")))
    assert line == "remote-slurm: --key /no/such/key cannot be read (No such file or directory)"
    line = refused(tmp_path, init(Sshd(server.folder, free_port()), tmp_path))
    assert ": correct --host and --port, or ask the site" in line
    assert line.endswith("whether the way is through another host (--jump)")
    shutil.copy(server.folder / "host_ed25519", strange := server.folder / "strange")
    line = refused(tmp_path, init(server, tmp_path, "--host-key-fingerprint", fingerprint(server), key=strange))
    assert ": correct --user, or put what `ssh-keygen -y -f " in line


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "SlurmConfig.yaml"
    file.write_text("mine")
    done = init(Sshd(tmp_path, free_port()), tmp_path)
    assert done.stderr == f"remote-slurm: {file} exists: give another file as --output, or --force to overwrite it\n"
    assert file.read_text() == "mine"


def test_a_known_host_is_not_asked_for_again_and_a_changed_one_is_refused(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"other ssh-ed25519 AAAA\n[127.0.0.1]:{server.port} {server.host_key}")
    assert init(server, tmp_path).returncode == 0
    assert known.read_text().startswith("other ssh-ed25519 AAAA\n")
    blob = make_key(tmp_path / "another").with_suffix(".pub").read_text().split()[1]
    known.write_text(f"[127.0.0.1]:{server.port} ssh-ed25519 {blob}\n")
    done = init(server, tmp_path, "--force", "--host-key-fingerprint", fingerprint(server))
    assert done.returncode == 1
    assert "has changed" in done.stderr
    assert blob in known.read_text()


def test_host_keys_that_another_account_can_write_are_not_trusted(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {server.host_key}")
    known.chmod(0o666)
    done = init(server, tmp_path)
    assert done.returncode == 1
    assert f"{known} is not used: every account can write to {known} (mode 0666): chmod go-w {known}" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["known_hosts"]


@pytest.mark.parametrize("option", ["--host", "--user", "--key"])
def test_without_a_terminal_the_connection_has_to_be_given(tmp_path: Path, option: str) -> None:
    given = {"--host": "h", "--user": "u", "--key": make_key(tmp_path / "key")}
    words = [word for name, value in given.items() if name != option for word in (name, value)]
    done = Program()("init", *words, "--output", tmp_path / "SlurmConfig.yaml")
    assert done.stderr == (
        f"remote-slurm: {option} is required, since there is no terminal to ask for it: nothing was written\n"
    )


def test_wrong_values_are_named_by_their_option(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    output = ("--key", key, "--output", tmp_path / "SlurmConfig.yaml")
    done = Program()("init", "--host", "a b", "--port", "70000", "--user", "u", *output)
    assert done.returncode == 1
    assert "--host must be" in done.stderr
    assert "--port must be" in done.stderr
    done = Program()("init", "--host-key-fingerprint", "MD5:00:11", *output)
    assert "must be SHA256: and 43 characters" in done.stderr
    done = Program()("init", "--host", "h:2222", "--user", "u", *output)
    assert (
        "--host must be a host name or an address, without user and port, not 'h:2222'; --user and --port"
        in done.stderr
    )
    done = Program()("init", "--runtime", "docker", *output)
    assert "'docker' (choose from " in done.stderr
    assert "''" not in done.stderr


def test_a_folder_of_no_use_is_reported_in_one_sentence(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "out").mkdir()
    folder = tmp_path / "file" / "pods"
    done = init(server, tmp_path / "out", "--host-key-fingerprint", fingerprint(server), "--folder", folder)
    line = refused(tmp_path / "out", done)
    assert line.count(f"DataRootFolder {folder} cannot be used") == 1
    assert line.endswith("give another --folder")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("encrypted", "is protected by a passphrase, which a service cannot enter: use a key without one, or give"),
        ("public", "holds the public key: the private one is needed"),
        ("absent", "cannot be read (No such file or directory)"),
    ],
)
def test_a_key_of_no_use_is_named_before_the_site_is_asked(tmp_path: Path, kind: str, words: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    key = make_key(tmp_path / "key")
    if kind == "encrypted":
        subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key], check=True, capture_output=True)
    key = {"encrypted": key, "public": key.with_suffix(".pub"), "absent": tmp_path / "none"}[kind]
    nowhere = Sshd(tmp_path, free_port())
    assert words in refused(folder, init(nowhere, folder, key=key))


def test_an_encrypted_key_with_its_passphrase(server: Sshd, tmp_path: Path) -> None:
    key = shutil.copy(server.folder / "user_ed25519", tmp_path / "key")
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key], check=True, capture_output=True)
    (tmp_path / "passphrase").write_text("secret\n")
    options = ("--passphrase-file", tmp_path / "passphrase", "--host-key-fingerprint", fingerprint(server))
    assert init(server, tmp_path, *options, key=key).returncode == 0
    written = yaml.safe_load((tmp_path / "SlurmConfig.yaml").read_text())
    assert written["SSH"]["PassphraseFile"] == str(tmp_path / "passphrase")


def test_a_key_that_the_site_does_not_know(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    key = make_key(tmp_path / "another")
    line = refused(
        tmp_path / "out", init(server, tmp_path / "out", "--host-key-fingerprint", fingerprint(server), key=key)
    )
    assert "was refused with" in line
    assert f"put what `ssh-keygen -y -f {key}` prints into ~/.ssh/authorized_keys" in line


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("PubkeyAuthentication no", "PasswordAuthentication yes"), "a password or a second factor cannot be entered"),
        (
            ("AuthenticationMethods publickey,password", "PasswordAuthentication yes"),
            "the key is accepted, but the site also asks for password",
        ),
    ],
)
def test_a_site_that_wants_more_than_a_key(
    start: StartSshd, tmp_path: Path, lines: tuple[str, ...], words: str
) -> None:
    server = start(*lines)
    assert words in refused(tmp_path, init(server, tmp_path, "--host-key-fingerprint", fingerprint(server)))


def test_a_host_that_is_no_ssh_server(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        web = Sshd(tmp_path, listener.getsockname()[1])
        threading.Thread(target=_answer_as_web_server, args=(listener,), daemon=True).start()
        line = refused(tmp_path / "out", init(web, tmp_path / "out", key=make_key(tmp_path / "key")))
    assert "accepts connections, but no SSH server answers: it sent 'HTTP/1.1 400 Bad Request'" in line


def _answer_as_web_server(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_a_way_through_a_jump_host(start: StartSshd, server: Sshd, tmp_path: Path) -> None:
    jump = start()
    server.behind(jump)
    options = ["--jump", f"{ME}@127.0.0.1:{jump.port}"]
    both = ["--host-key-fingerprint", fingerprint(server), "--host-key-fingerprint", fingerprint(jump)]
    (tmp_path / "out").mkdir()
    line = refused(tmp_path / "out", init(server, tmp_path / "out", *options, *both[2:]))
    assert f"no host key of [127.0.0.1]:{server.port} has the fingerprint" in line
    assert init(server, tmp_path, *options, *both).returncode == 0
    names = [line.split()[0] for line in (tmp_path / "known_hosts").read_text().splitlines()]
    assert names == [f"[127.0.0.1]:{jump.port}", f"[127.0.0.1]:{server.port}"]


def at_a_terminal(*words: object, answers: dict[str, str]) -> str:
    """All that is shown to a person who gives these answers once each of their questions is asked."""
    ours, theirs = pty.openpty()
    environment = {**ENVIRONMENT, "TERM": "dumb"}
    shown, left = b"", dict(answers)
    with subprocess.Popen(
        [PROGRAM, *map(str, words)], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        while select.select([ours], [], [], PATIENCE)[0]:
            try:
                data = os.read(ours, 4096)
            except OSError:  # the terminal has no writer any more
                break
            shown += data
            for question in [each for each in left if each in shown.decode(errors="replace")]:
                os.write(ours, f"{left.pop(question)}\n".encode())
        process.wait(PATIENCE)
    os.close(ours)
    return shown.decode()


def test_a_person_answers_at_a_terminal(server: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "SlurmConfig.yaml"
    answers = {
        "login node: ": "127.0.0.1",
        "port of sshd [22]: ": str(server.port),
        "account at the site [": ME,
        "private key": str(server.folder / "user_ed25519"),
        "published fingerprint [no]: ": "yes",
        "folder for pods, which compute nodes see too [": "",
    }
    shown = at_a_terminal("init", "--output", file, answers=answers)
    assert f"  ssh-ed25519 {fingerprint(server)}\r\n" in shown
    assert load_config(file, {}).ssh.port == server.port


class Person(Terminal):
    """Gives this answer to each question."""

    def __init__(self, answer: str, *fingerprints: str) -> None:
        super().__init__(fingerprints, Screen(io.StringIO()))
        self._answer = answer

    def ask(self, question: str, usual: str, option: str) -> str:
        del question, usual, option
        return self._answer


ED, RSA = (OfferedKey("login", kind, "AAAA", f"SHA256:{kind[-1] * 43}") for kind in ("ssh-ed25519", "ssh-rsa"))


@pytest.mark.parametrize(("answer", "trusted"), [("yes", ED), (ED.fingerprint, ED), (f"{'9' * 43}=", ED)])
async def test_a_person_may_paste_the_published_fingerprint(answer: str, trusted: OfferedKey) -> None:
    assert await Person(answer).confirm([ED], are_all=False) == trusted


async def test_a_person_may_paste_the_fingerprint_of_another_key() -> None:
    person = Person(RSA.fingerprint)
    assert await person.confirm([ED], are_all=False) is None
    assert await person.confirm([ED, RSA], are_all=True) == RSA


async def test_an_answer_that_is_no_fingerprint_confirms_nothing() -> None:
    with pytest.raises(RemoteSlurmError, match="was not confirmed"):
        await Person("maybe").confirm([ED], are_all=False)


async def test_a_pasted_fingerprint_that_no_key_has_is_refused() -> None:
    person = Person(f"SHA256:{'b' * 43}")
    assert await person.confirm([ED], are_all=False) is None
    with pytest.raises(RemoteSlurmError, match="no host key of login has the fingerprint SHA256:bbb"):
        await person.confirm([ED, RSA], are_all=True)


async def test_a_person_cannot_confirm_what_the_option_denies() -> None:
    with pytest.raises(RemoteSlurmError, match="no host key of login has the fingerprint"):
        await Person("yes", RSA.fingerprint).confirm([ED], are_all=True)


def test_a_person_who_does_not_confirm_gets_no_file(server: Sshd, tmp_path: Path) -> None:
    key = server.folder / "user_ed25519"
    where = ("--host", "127.0.0.1", "--port", server.port, "--user", ME, "--key", key)
    output = ("--output", tmp_path / "SlurmConfig.yaml")
    shown = at_a_terminal("init", *where, *output, answers={"published fingerprint [no]: ": ""})
    assert "was not confirmed: nothing was written" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["site", "site22"])
def test_a_real_site_passes_check_with_a_job(
    request: pytest.FixtureRequest, program_at: ProgramAt, tmp_path: Path, kind: str
) -> None:
    del program_at
    site: Site = request.getfixturevalue(kind)
    shown = subprocess.run(["ssh-keygen", "-lf", site.known_hosts_file], capture_output=True, text=True, check=True)
    where = ["--host", site.host, "--port", site.port, "--user", site.user, "--key", site.identity_file]
    file = tmp_path / "SlurmConfig.yaml"
    print_of_host = shown.stdout.split()[1]
    done = Program()("init", *where, "--host-key-fingerprint", print_of_host, "--output", file)
    assert done.returncode == 0, done.stderr
    checked = Program(file)("check", "--job", "--set", f"StateFolder={tmp_path}")
    assert checked.returncode == 0, checked.stdout
