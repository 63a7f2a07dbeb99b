from ssh_server import Sshd

from remote_slurm.remote.connection import Connection
from remote_slurm.remote.session import Sessions


async def test_runs_a_script_with_its_payload(sshd: Sshd) -> None:
    connection = Connection(sshd.settings())
    sessions = Sessions(connection)
    result = await sessions.run('echo "$payload_size"; cat; exit 3', b"\0\1\2", deadline=20)
    assert (result.exit_code, result.output) == (3, b"3\n\0\1\2")
    await sessions.close()
    await connection.close()
