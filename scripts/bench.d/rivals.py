"""The same pod's job, created by what else there is: each keeps its connection open, as a service would."""

from __future__ import annotations

import asyncio
import contextlib
import io
import shlex
import subprocess
import tarfile
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import asyncssh
import fabric
import paramiko
from place import Place

Create = Callable[[], object]


@contextlib.contextmanager
def rivals(place: Place, archive: bytes) -> Iterator[dict[str, Create]]:
    """By name, a function that creates the job of `archive` (gzipped, with job.sh at its top) in a fresh folder."""
    with contextlib.ExitStack() as stack:
        yield {
            "Fabric `put` and `run`": stack.enter_context(_fabric(place, archive)),
            "Paramiko, one `exec`": stack.enter_context(_paramiko(place, archive)),
            "OpenSSH, ControlMaster": stack.enter_context(_openssh(place, archive)),
            "asyncssh, one `run`": stack.enter_context(_asyncssh(place, archive)),
        }


def _one_command() -> str:
    folder = f"rivals/{uuid.uuid4()}"
    return f"mkdir -p {folder} && cd {folder} && tar -xz && sbatch --parsable job.sh"


@contextlib.contextmanager
def _fabric(place: Place, archive: bytes) -> Iterator[Create]:
    """A straightforward program: a folder, each file, sbatch."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar.getmembers() if member.isfile()}
    site = place.site
    connection = fabric.Connection(
        site.host, site.user, site.port, connect_kwargs={"key_filename": str(site.identity_file)}
    )
    with connection:
        connection.open()
        connection.sftp()

        def create() -> None:
            folder = f"rivals/{uuid.uuid4()}"
            folders = {str(Path(folder, name).parent) for name in files}
            connection.run(f"mkdir -p {shlex.join(folders)}", hide=True)
            for name, content in files.items():
                connection.put(io.BytesIO(content), f"{folder}/{name}")
            assert connection.run(f"cd {folder} && sbatch --parsable job.sh", hide=True).stdout.strip().isdigit()

        yield create


@contextlib.contextmanager
def _paramiko(place: Place, archive: bytes) -> Iterator[Create]:
    site = place.site
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(site.known_hosts_file))
        client.connect(site.host, site.port, site.user, key_filename=str(site.identity_file))

        def create() -> None:
            stdin, stdout, _ = client.exec_command(_one_command())
            stdin.write(archive)
            stdin.channel.shutdown_write()
            assert stdout.read().strip().isdigit()

        yield create


@contextlib.contextmanager
def _openssh(place: Place, archive: bytes) -> Iterator[Create]:
    site = place.site
    control = place.folder / "control"
    options = [
        "-o",
        f"ControlPath={control}",
        "-o",
        f"UserKnownHostsFile={site.known_hosts_file}",
        "-p",
        str(site.port),
    ]
    options += ["-i", str(site.identity_file), f"{site.user}@{site.host}"]
    subprocess.run(["ssh", "-M", "-f", "-N", *options], check=True)

    def create() -> None:
        run = subprocess.run(["ssh", *options, _one_command()], input=archive, capture_output=True, check=True)
        assert run.stdout.strip().isdigit()

    try:
        yield create
    finally:
        subprocess.run(["ssh", "-O", "exit", *options], check=True, capture_output=True)


@contextlib.contextmanager
def _asyncssh(place: Place, archive: bytes) -> Iterator[Create]:
    site = place.site
    with asyncio.Runner() as runner:
        connection = runner.run(_asyncssh_connection(place))

        async def create() -> None:
            run = await connection.run(_one_command(), input=archive, encoding=None, check=True)
            assert run.stdout.strip().isdigit(), site

        yield lambda: runner.run(create())
        connection.close()
        runner.run(connection.wait_closed())


def _asyncssh_connection(place: Place) -> Awaitable[asyncssh.SSHClientConnection]:
    site = place.site

    async def connect() -> asyncssh.SSHClientConnection:
        return await asyncssh.connect(
            site.host,
            site.port,
            username=site.user,
            client_keys=[str(site.identity_file)],
            known_hosts=str(site.known_hosts_file),
            config=None,
        )

    return connect()
