"""Files that decide whom the sidecar trusts are refused if other accounts of its machine can change them."""

import os
from pathlib import Path

import pytest

from remote_slurm.config import strict_modes
from remote_slurm.config.load import load_config
from remote_slurm.config.strict_modes import is_container
from remote_slurm.errors import AuthenticationRefused, ConfigError, HostKeyRefused
from remote_slurm.service.journal import Journal, JournalError
from remote_slurm.service.kubernetes_api import Cluster, NoCredentials
from remote_slurm.ssh.authentication import KeyFile, from_file
from remote_slurm.ssh.host_keys import KnownHost

OTHER_GROUP = 4712

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to any group")


on_a_host = pytest.mark.skipif(is_container(), reason="in a container, folders do not count")


def unsafe_file(file: Path) -> str:
    """Outside of containers, wherever the tests run."""
    return strict_modes.unsafe_file(file, in_container=False)


def unsafe_folder(folder: Path) -> str:
    return strict_modes.unsafe_folder(folder, in_container=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir(mode=0o755)
    path.write_text("text")
    path.chmod(0o644)
    return path


def test_a_file_of_ones_own(file: Path) -> None:
    assert unsafe_file(file) == ""


@pytest.mark.parametrize("mode", [0o666, 0o622, 0o602])
def test_a_file_that_every_account_can_write_to(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert unsafe_file(file) == f"every account can write to {file} (mode {mode:04o}): chmod go-w {file}"


def test_a_file_in_a_folder_that_every_account_can_write_to(file: Path) -> None:
    file.parent.chmod(0o777)
    assert unsafe_file(file) == f"every account can write to {file.parent} (mode 0777): chmod go-w {file.parent}"
    file.parent.chmod(0o1777)
    assert unsafe_file(file) == "", "as in /tmp"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o600])
def test_a_key_that_others_can_read_is_reported_on_a_host(file: Path, mode: int) -> None:
    file.chmod(mode)
    found = strict_modes.readable_key(file, in_container=False)
    expected = f"other accounts can read {file} (mode {mode:04o}), and ssh refuses such a key: chmod 600 {file}"
    assert found == (expected if mode & 0o077 else "")
    assert strict_modes.readable_key(file, in_container=True) == ""


def test_as_kubernetes_mounts_a_secret(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = file.parent / "..data"
    link.symlink_to(file)
    file.parent.chmod(0o1777)
    assert unsafe_file(link) == ""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    file.parent.chmod(0o777)
    assert strict_modes.unsafe_file(file) == "", "an emptyDir, where there is no other account"
    file.chmod(0o666)
    assert strict_modes.unsafe_file(file), "a file is one all the same"


@as_root
def test_an_owner_who_is_neither_root_nor_the_account(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(file, 4711, -1)
    assert unsafe_file(file) == f"{file} belongs to 4711: chown root {file}"
    os.chown(file, 0, -1)
    os.chown(file.parent, 4711, -1)
    file.parent.chmod(0o1755)
    assert unsafe_file(file) == f"{file.parent} belongs to 4711: chown root {file.parent}", (
        "its owner may rename the file"
    )
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert unsafe_file(file) == ""


@as_root
@pytest.mark.parametrize("owner", [4711, 0])
def test_every_folder_above_counts(tmp_path: Path, owner: int) -> None:
    (folder := tmp_path / "other" / "deep").mkdir(parents=True)
    (file := folder / "file").touch()
    (link := tmp_path / "link").symlink_to(file)
    folder.parent.chmod(0o755 if owner else 0o777)
    os.chown(folder.parent, owner, -1)
    assert (
        f"{folder.parent} belongs to 4711" in unsafe_file(link) if owner else f"to {folder.parent}" in unsafe_file(link)
    )
    assert unsafe_folder(folder)
    os.chown(folder.parent, 0, -1)
    folder.parent.chmod(0o755)
    assert unsafe_file(link) == ""
    (away := tmp_path / "away").mkdir()
    (elsewhere := away / "link").symlink_to(file)
    away.chmod(0o777)
    assert str(away) in unsafe_file(elsewhere), "who can replace the link decides which file it is"


@as_root
def test_in_a_container_there_is_no_other_account(file: Path) -> None:
    os.chown(file, 4711, -1)
    os.chown(file.parent, 4711, -1)
    assert strict_modes.unsafe_file(file, in_container=True) == ""
    file.chmod(0o666)
    assert "every account can write" in strict_modes.unsafe_file(file, in_container=True)


def test_what_marks_a_container(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert not is_container([file.with_name("missing")])
    assert is_container([file.with_name("missing"), file])
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert is_container([])


@as_root
def test_groups(file: Path) -> None:
    file.chmod(0o664)
    os.chown(file, 0, OTHER_GROUP)
    assert unsafe_file(file) == "", "it has no other member"
    os.chown(file, 0, 0)
    assert unsafe_file(file) == "", "root alone"


@as_root
def test_a_group_with_members(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    daemon = pwd.getpwnam("daemon")
    file.chmod(0o664)
    os.chown(file, -1, daemon.pw_gid)
    assert unsafe_file(file) == f"the group daemon can write to {file} (mode 0664): chmod g-w {file}"
    monkeypatch.setattr(os, "getgroups", lambda: [daemon.pw_gid])
    assert unsafe_file(file) == "", "root has put this process into it, as with an fsGroup"


def test_state_folder_with_an_fs_group(tmp_path: Path) -> None:
    """A volume of Kubernetes: root's, setgid, and the group of the process can write to it."""
    tmp_path.chmod(0o2775)
    assert unsafe_folder(tmp_path) == ""
    Journal(tmp_path)


# --- each of them, with the sentence of its own error ----------------------------------------------------------------


def test_known_hosts(file: Path) -> None:
    file.chmod(0o666)
    with pytest.raises(
        HostKeyRefused, match=r"UserKnownHostsFile .* is not used: every account can write to .*: chmod go-w "
    ):
        KnownHost(file, "login.example.org", 22)


@on_a_host
def test_the_folder_of_a_key(file: Path) -> None:
    file.chmod(0o600)
    file.parent.chmod(0o777)
    with pytest.raises(
        AuthenticationRefused, match=r"IdentityFile .* is not used: every account can write to .*folder "
    ):
        next(from_file(KeyFile(file)))


@on_a_host
def test_the_state_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(
        JournalError, match=r"StateFolder .* is not used, since other accounts could write to it and delete pods: every"
    ):
        Journal(tmp_path)


def test_the_kubeconfig(file: Path) -> None:
    file.chmod(0o666)
    with pytest.raises(NoCredentials, match=r"CUSTOMKUBECONF .* is not used: every account can write to "):
        Cluster(file)


def test_the_configuration(file: Path) -> None:
    file.chmod(0o666)
    with pytest.raises(ConfigError, match=r"is not used: every account can write to "):
        load_config(file, {})


def test_dev_null_is_an_empty_file() -> None:
    assert unsafe_file(Path("/dev/null")) == ""
