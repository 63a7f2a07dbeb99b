"""mounts.sh: what is checked is what is mounted, whatever other containers do meanwhile.

A shell takes the place of the container runtime and looks at the sources that it is given.
"""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from tests.job.node import BASH, Node

IN_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount", "true")
HAS_NAMESPACES = subprocess.run(IN_NAMESPACE, check=False).returncode == 0
FIRST = ".runner/mounts/main/0"

needs_namespaces = pytest.mark.skipif(not HAS_NAMESPACES, reason="this machine has no user namespaces")


@pytest.fixture
def account(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the account that no container may see."""
    folder = tmp_path_factory.mktemp("account")
    (folder / "file").write_text("the account's\n")
    return folder


@pytest.fixture
def volume(node: Node) -> Path:
    folder = node.pod / "volumes" / "v"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text("the volume's\n")
    return folder


def path_without_namespaces(folder: Path) -> str:
    (bin_folder := folder / "bin").mkdir()
    (bin_folder / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (bin_folder / "unshare").chmod(0o755)
    return f"{bin_folder}:{os.environ['PATH']}"


@pytest.fixture(params=[pytest.param(True, marks=needs_namespaces), False], ids=["namespaces", "no-namespaces"])
def without_namespaces(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A PATH on which no namespace can be made; empty: it can."""
    return "" if request.param else path_without_namespaces(tmp_path)


def mounted(
    node: Node, *mounts: tuple[str, ...], look: str, path: str = "", points: tuple[tuple[str, ...], ...] = ()
) -> subprocess.CompletedProcess[str]:
    options = [
        word
        for source, sub, *allowed in mounts
        for word in ("--mount", source, sub, sub, *(word for folder in allowed for word in ("--allowed", folder)))
    ]
    inner = [word for point in points for word in ("--inner", *point)]
    command = [
        BASH,
        "mounts.sh",
        "main",
        *options,
        *inner,
        "--",
        "sh",
        "-c",
        look,
        "runtime",
        "--bind",
        f"{FIRST}:/v:rw",
        "--bind",
        "other:/w",
    ]
    environment = os.environ | ({"PATH": path} if path else {})
    return subprocess.run(
        command, cwd=node.pod, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_every_kind_of_source(node: Node, volume: Path, account: Path) -> None:
    (volume / "it's a folder").symlink_to("sub")
    (volume / "link").symlink_to("sub/file")
    os.mkfifo(volume / "pipe")
    mounts = (
        ("volumes/v", "sub"),
        ("volumes/v", "sub/file"),
        ("volumes/v", "it's a folder"),
        ("volumes/v", "link"),
        ("volumes/v", "made/here too"),
        ("volumes/v", "pipe"),
        ("volumes/v", ""),
        (str(account), "", str(account)),
        (str(account / "file"), "", "/nowhere", str(account.parent)),
        ("/dev", "", "/dev"),  # with what is mounted below it, which a user namespace may not take apart
    )
    look = (
        f"cd {FIRST[:-2]}; cat 0/file 1 2/file 3; ls -d 4; [ -p 5 ] && ls 6; "
        "cat 7/file 8; id -u; [ -d 9/pts ] || echo no; touch 4/mine"
    )
    done = mounted(node, *mounts, look=look)
    expected = "|".join(["the volume's"] * 4 + ["4", "it's a folder", "link", "made", "pipe", "sub"])
    assert done.stdout == f"{expected}|the account's|the account's|{os.geteuid()}|".replace("|", "\n"), done.stderr
    assert (volume / "made" / "here too" / "mine").exists()
    assert (volume / "made").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("source", "sub", "sentence"),
    [
        ("volumes/v", "out", "leads out of its volume"),
        ("volumes/v", "out/file", "leads out of its volume"),
        ("volumes/v", "file-out", "leads out of its volume"),
        ("volumes/v", "up", "leads out of its volume"),
        ("volumes/v", "dangling/new", "could not be made"),
        ("volumes/v", "sub/file/x", "leads through a file"),
        ("volumes/w", "", "has been replaced"),
        ("{volume}/out", "", "which AllowedHostPaths does not allow"),
        ("{volume}/file-out", "", "which AllowedHostPaths does not allow"),
        ("{account}/absent", "", "cannot be mounted"),
    ],
)
def test_what_leads_out_is_not_mounted(
    node: Node, volume: Path, account: Path, source: str, sub: str, sentence: str
) -> None:
    (volume / "out").symlink_to(account)
    (volume / "file-out").symlink_to(account / "file")
    (volume / "up").symlink_to("..")
    (volume / "dangling").symlink_to(account / "new")
    if source == "volumes/w":
        (node.pod / source).symlink_to(volume / "out")
    path = source.format(volume=volume, account=account)
    allowed = (path.rpartition("/")[0],) if path.startswith("/") else ()
    done = mounted(node, (path, sub, *allowed), look="echo started")
    assert (done.returncode, done.stdout) == (125, "")
    assert sentence in done.stderr
    assert sorted(path.name for path in account.iterdir()) == ["file"]


def test_shared_memory_that_another_pod_has_replaced_is_not_mounted(
    node: Node, account: Path, tmp_path: Path, without_namespaces: str
) -> None:
    """A pod with mpi-flags can write to the /dev/shm of its node."""
    (memory := tmp_path / "remote-slurm-7-x").mkdir()
    (node.pod / "shm").symlink_to(memory)
    assert mounted(node, ("shm", ""), look=f"touch {FIRST}/x", path=without_namespaces).returncode == 0
    assert (memory / "x").exists()
    memory.rename(tmp_path / "away")
    memory.symlink_to(account)
    done = mounted(node, ("shm", ""), look="echo started", path=without_namespaces)
    assert (done.returncode, done.stdout) == (125, "")
    assert "shm has been replaced" in done.stderr


@needs_namespaces
def test_a_folder_that_is_replaced_is_never_mounted(node: Node, volume: Path, account: Path) -> None:
    """A loop exchanges the folder and a link to the account's, and so do 40 starts hit every moment between."""
    (volume / "link").symlink_to(account)
    over = threading.Event()

    def exchange() -> None:
        while not over.is_set():
            (volume / "sub").rename(volume / "aside")
            try:
                (volume / "link").rename(volume / "sub")
            except IsADirectoryError:  # it was missing, and has been made
                (volume / "sub").rmdir()
                (volume / "link").rename(volume / "sub")
            (volume / "sub").rename(volume / "link")
            (volume / "aside").rename(volume / "sub")

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        seen = [mounted(node, ("volumes/v", "sub"), look=f"cat {FIRST}/file").stdout for _ in range(40)]
    finally:
        over.set()
        thread.join()
    assert set(seen) <= {"the volume's\n", ""}


def test_without_user_namespaces_the_path_is_checked_right_before(node: Node, volume: Path, tmp_path: Path) -> None:
    path = path_without_namespaces(tmp_path)
    assert mounted(node, ("volumes/v", "sub"), look=f"cat {FIRST}/file", path=path).stdout == "the volume's\n"
    (volume / "sub" / "file").unlink()
    (volume / "sub").rmdir()
    (volume / "sub").symlink_to("/etc")
    assert mounted(node, ("volumes/v", "sub"), look="echo started", path=path).stdout == ""


def test_a_mount_inside_of_a_mount_is_made_without_leaving_the_volume(
    node: Node, volume: Path, account: Path, without_namespaces: str
) -> None:
    """The runtime gets one mount with all that is in it. Without namespaces, it gets inner ones after it."""
    (volume / "link").symlink_to("sub")
    (node.pod / "messages").mkdir(exist_ok=True)
    (node.pod / "messages" / "main").write_text("the message\n")
    mounts = (("volumes/v", ""), (str(account), ""), (str(account), "", str(account)), ("messages/main", ""))
    points = (
        ("2", "1", "deeper", "/v/link/made/deeper", "ro"),
        ("1", "0", "link/made", "/v/link/made", "rw"),
        ("3", "0", "new/message", "/v/new/message", "rw"),
    )
    look = f"cd {FIRST}; cat sub/made/file new/message; cat sub/made/deeper/file; touch sub/made/deeper/x; echo $*"
    done = mounted(node, *mounts, look=look, points=points, path=without_namespaces)
    outer = f"--bind {FIRST}:/v:rw"
    if without_namespaces:
        inner = (
            f"--bind {FIRST[:-1]}1:/v/link/made:rw --bind {FIRST[:-1]}2:/v/link/made/deeper:ro "
            f"--bind {FIRST[:-1]}3:/v/new/message:rw"
        )
        assert done.stdout.splitlines()[-1] == f"{outer} {inner} --bind other:/w"
    else:
        lines = ["the account's", "the message", "the account's", f"{outer} --bind other:/w"]
        assert done.stdout.splitlines() == lines, done.stderr
    assert (volume / "sub" / "made").is_dir()
    assert (volume / "new" / "message").is_file()
    assert not (account / "x").exists()


@pytest.mark.parametrize(
    ("point", "sentence"),
    [
        ("out/made", "leads out of its volume"),
        ("out/message", "leads out of its volume"),
        ("sub/up/made", "leads out of its volume"),
        ("dangling", "could not be made"),
        ("sub/file/made", "leads through a file"),
        ("sub/file", "is a file"),
    ],
)
def test_a_mount_point_behind_a_link_is_refused(
    node: Node, volume: Path, account: Path, point: str, sentence: str, without_namespaces: str
) -> None:
    (volume / "out").symlink_to(account)
    (volume / "sub" / "up").symlink_to("../..")
    (volume / "dangling").symlink_to(account / "new")
    (node.pod / "messages").mkdir(exist_ok=True)
    (node.pod / "messages" / "main").touch()
    source = "messages/main" if point.endswith("message") else str(account)
    words = ("1", "0", point, f"/v/{point}", "rw")
    done = mounted(node, ("volumes/v", ""), (source, ""), points=(words,), look="echo started", path=without_namespaces)
    assert (done.returncode, done.stdout) == (125, "")
    assert f"mountPath /v/{point} {sentence}" in done.stderr
    assert sorted(path.name for path in account.iterdir()) == ["file"]
    assert not (node.pod / "made").exists()


@pytest.mark.parametrize(("name", "sentence"), [("link", "is a link"), ("sub", "is a folder")])
def test_a_file_is_mounted_on_nothing_but_a_file(
    node: Node, volume: Path, account: Path, name: str, sentence: str, without_namespaces: str
) -> None:
    (volume / "link").symlink_to(account / "new")
    points = (("1", "0", name, f"/v/{name}", "rw"),)
    mounts = (("volumes/v", ""), (str(account / "file"), ""))
    done = mounted(node, *mounts, points=points, look="echo started", path=without_namespaces)
    assert (done.returncode, done.stdout) == (125, "")
    assert f"mountPath /v/{name} {sentence}" in done.stderr
    assert not (account / "new").exists()
