"""`remote-slurm init`: from the address of a login node to a SlurmConfig.yaml."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import logging
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from remote_slurm.cli.check import show_findings
from remote_slurm.cli.screen import Colour, Screen, visible
from remote_slurm.config import SSH, load_config
from remote_slurm.config.strict_modes import unsafe_file, unsafe_folder
from remote_slurm.domain.plan.semantic_checks import semantic_problems
from remote_slurm.errors import ConfigError, OfferedKey, RemoteSlurmError
from remote_slurm.service.check.site_check import SiteCheck
from remote_slurm.service.setup.choices import Wishes, runtime_names
from remote_slurm.service.setup.file import render
from remote_slurm.service.setup.site_setup import OPTIONS, Outcome, set_up
from remote_slurm.ssh.authentication import KeyFile, from_file, needs_passphrase
from remote_slurm.ssh.threads import in_thread

_HELP = """\
Write a SlurmConfig.yaml for a site: ask for the login node, the account and the key, show the fingerprint of the host
key to be confirmed, look at Slurm, containers and folders, and choose. Comments in the file name what was found. No job
is submitted. On a terminal, the command asks for what the options leave open; otherwise it takes its own choice, and
--host, --user, --key and --host-key-fingerprint are required. An existing file is kept unless --force is given.
"""

_EXAMPLES = """\
examples:
  remote-slurm init
  remote-slurm init --host login.hpc.example.org --user hpcuser --key ~/.ssh/id_ed25519
  remote-slurm init --host login.hpc.example.org --user hpcuser --key /etc/interlink/ssh/id_ed25519 \\
      --host-key-fingerprint SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU --output /etc/interlink/SlurmConfig.yaml
"""

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
_USUAL_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_KNOWN_HOSTS = "known_hosts"
_SSH_PORT = 22
_MOST_OPTIONS = 20
_WRONG = "the connection may be intercepted, or the fingerprint is that of another host: ask the site"
_NOTHING = "nothing was written"


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    ssh = parser.add_argument_group("connection")
    ssh.add_argument("--host", metavar="NAME", help="login node")
    ssh.add_argument("--port", metavar="PORT", help="port of its sshd (default: 22)")
    ssh.add_argument("--user", metavar="NAME", help="account at the site that runs all jobs")
    ssh.add_argument("--key", type=Path, metavar="FILE", help="private key of the account")
    ssh.add_argument("--passphrase-file", type=Path, metavar="FILE", help="file with the passphrase of the key")
    ssh.add_argument("--jump", metavar="HOPS", help="jump hosts, as [user@]host[:port], separated by commas")
    ssh.add_argument(
        "--host-key-fingerprint",
        type=_fingerprint,
        action="append",
        default=[],
        metavar="SHA256:...",
        help="confirm the host key with this fingerprint; can be repeated, for jump hosts",
    )
    site = parser.add_argument_group("choices (default: what the site has)")
    site.add_argument("--partition", default="", metavar="NAME", help="partition for pods that name none")
    site.add_argument("--account", default="", metavar="NAME", help="Slurm account for pods that name none")
    site.add_argument("--qos", default="", metavar="NAME", help="QOS for pods that name none")
    site.add_argument("--runtime", default="", choices=runtime_names(), metavar="NAME", help=_runtimes())
    site.add_argument("--folder", default="", metavar="PATH", help="DataRootFolder, which compute nodes see too")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("SlurmConfig.yaml"),
        metavar="FILE",
        help="file to write (default: SlurmConfig.yaml); known_hosts is written beside it",
    )
    parser.add_argument("--force", action="store_true", help="overwrite the file")


def _runtimes() -> str:
    return f"container runtime of the compute nodes: {', '.join(runtime_names())}"


def _fingerprint(text: str) -> str:
    if not _FINGERPRINT.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"must be SHA256: and 43 characters, as `ssh-keygen -lf` prints it, not {text!r}"
        )
    return text.rstrip("=")


def run(arguments: argparse.Namespace) -> int:
    logging.getLogger("remote_slurm").addHandler(logging.NullHandler())  # sentences report everything
    logging.getLogger("remote_slurm").propagate = False
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr] # a terminal may know no ticks
    output = arguments.output.expanduser().absolute()
    _refuse_output(output, force=arguments.force)
    dialog = _dialog(arguments)
    keys = _connection_keys(arguments, dialog)
    try:
        return asyncio.run(_init(arguments, dialog, keys, output))
    except EOFError:
        raise RemoteSlurmError(f"the input ended before all questions were answered: {_NOTHING}") from None


def _refuse_output(output: Path, *, force: bool) -> None:
    if output.exists() and not force:
        raise RemoteSlurmError(f"{output} exists: give another file as --output, or --force to overwrite it")
    if not output.parent.is_dir():
        raise RemoteSlurmError(
            f"the folder {output.parent} does not exist: create it, or give another file as --output"
        )
    if found := unsafe_folder(output.parent):
        raise RemoteSlurmError(f"a configuration in {output.parent} would be refused: {found}")
    if not os.access(output.parent, os.W_OK):
        raise RemoteSlurmError(f"this account cannot write to {output.parent}: give another file as --output")


# --- questions ---


class Options:
    """Answers from the options of the command, where no person can be asked."""

    def __init__(self, fingerprints: Sequence[str], screen: Screen) -> None:
        self._fingerprints = fingerprints
        self.screen = screen

    def ask(self, question: str, usual: str, option: str) -> str:
        """The answer to a question about the connection."""
        del question
        if usual:
            return usual
        raise RemoteSlurmError(f"{option} is required, since there is no terminal to ask for it: {_NOTHING}")

    def say(self, text: str) -> None:
        self.screen.line(self.screen.paint(f"  {text}", Colour.QUIET))

    async def choose(self, what: str, options: Sequence[str], usual: str) -> str:
        del options
        self.say(f"{what}: {usual}")
        return usual

    async def confirm(self, offered: Sequence[OfferedKey], *, are_all: bool) -> OfferedKey | None:
        trusted = next((key for key in offered if key.fingerprint in self._fingerprints), None)
        if trusted:
            self.say(f"host key of {trusted.name}: {trusted.kind} {trusted.fingerprint}, as given")
            return trusted
        name = offered[0].name
        found = ", ".join(f"{key.kind} {key.fingerprint}" for key in offered)
        if not self._fingerprints:
            raise RemoteSlurmError(
                f"the host key of {name} is not confirmed: it is {found}",
                remedy="compare it with the fingerprint that the site publishes, and repeat the command with "
                f"--host-key-fingerprint {offered[0].fingerprint}",
            )
        if not are_all:
            return None
        raise RemoteSlurmError(
            f"no host key of {name} has the fingerprint {' or '.join(self._fingerprints)}: it has {found}",
            remedy=_WRONG,
        )


class Terminal(Options):
    """A person at a terminal. Options that were given are not asked for."""

    _pasted = ""

    def ask(self, question: str, usual: str, option: str) -> str:
        del option
        while True:
            answer = input(visible(f"{question}{f' [{usual}]' if usual else ''}: ")).strip() or usual
            if answer:
                return answer

    async def choose(self, what: str, options: Sequence[str], usual: str) -> str:
        if len(options) > 1:
            shown = ", ".join(options[:_MOST_OPTIONS])
            more = f" and {len(options) - _MOST_OPTIONS} more" if len(options) > _MOST_OPTIONS else ""
            self.screen.line(f"{what}, such as: {shown}{more}")
        return await in_thread("ask", self.ask, what, usual, "")

    async def confirm(self, offered: Sequence[OfferedKey], *, are_all: bool) -> OfferedKey | None:
        if self._fingerprints:
            return await super().confirm(offered, are_all=are_all)
        name = offered[0].name
        if not are_all:
            self._pasted = await self._asked(offered[0])
            if self._pasted == offered[0].fingerprint:
                return offered[0]
            self.say(f"that is not the fingerprint of the {offered[0].kind} key: looking at the other keys of {name}")
            return None  # it may be that of a key of another type
        trusted = next((key for key in offered if key.fingerprint == self._pasted), None)
        if trusted:
            return trusted
        found = ", ".join(f"{key.kind} {key.fingerprint}" for key in offered)
        raise RemoteSlurmError(
            f"no host key of {name} has the fingerprint {self._pasted}: it has {found}", remedy=_WRONG
        )

    async def _asked(self, offered: OfferedKey) -> str:
        """The fingerprint that the person trusts. Raises RemoteSlurmError if there is none."""
        self.screen.line(f"The host key of {offered.name} is not known yet:")
        self.screen.line(f"  {offered.kind} {offered.fingerprint}")
        self.screen.line("Compare it with the fingerprint that the site publishes.")
        question = "Type yes if they are the same, or paste the published fingerprint"
        answer = await in_thread("ask", self.ask, question, "no", "")
        if answer.lower() == "yes":
            return offered.fingerprint
        pasted = answer if answer.startswith("SHA256:") else f"SHA256:{answer}"
        if not _FINGERPRINT.fullmatch(pasted):
            raise RemoteSlurmError(f"the host key of {offered.name} was not confirmed: {_NOTHING}")
        return pasted.rstrip("=")


def _dialog(arguments: argparse.Namespace) -> Options:
    screen = Screen(sys.stdout)
    is_person = sys.stdin.isatty() and sys.stdout.isatty()
    return (Terminal if is_person else Options)(arguments.host_key_fingerprint, screen)


def _connection_keys(arguments: argparse.Namespace, dialog: Options) -> dict[str, Any]:
    """The block SSH as in the file, without UserKnownHostsFile. Raises RemoteSlurmError for a wrong value."""
    is_person = isinstance(dialog, Terminal)
    keys: dict[str, Any] = {"HostName": arguments.host or dialog.ask("login node", "", "--host")}
    port = arguments.port or (dialog.ask("port of sshd", str(_SSH_PORT), "") if is_person else "")
    if port and port != str(_SSH_PORT):
        keys["Port"] = port
    me = getpass.getuser() if is_person else ""
    keys["User"] = arguments.user or dialog.ask("account at the site", me, "--user")
    key = arguments.key or Path(dialog.ask("private key", _usual_key() if is_person else "", "--key"))
    keys["IdentityFile"] = str(key.expanduser().absolute())
    if arguments.passphrase_file:
        keys["PassphraseFile"] = str(arguments.passphrase_file.expanduser().absolute())
    if arguments.jump:
        keys["ProxyJump"] = arguments.jump
    try:
        ssh = SSH.model_validate({**keys, "UserKnownHostsFile": "/dev/null"})
    except ValidationError as error:
        words = "; ".join(map(_problem, error.errors(include_url=False)))
        raise RemoteSlurmError(f"{words}: {_NOTHING}") from error
    _try_key(key.expanduser().absolute(), ssh.passphrase_file)
    if "Port" in keys:
        keys["Port"] = ssh.port
    return keys


def _problem(detail: ErrorDetails) -> str:
    key = str(detail["loc"][0]) if detail["loc"] else ""
    sentence = str(detail["ctx"]["error"]) if detail["type"] == "value_error" else detail["msg"]
    remedy = "; --user and --port name those" if key == "HostName" else ""
    return f"{OPTIONS.get(key, key)} {sentence}{remedy}"


def _usual_key() -> str:
    folder = Path.home() / ".ssh"
    return next((str(folder / name) for name in _USUAL_KEYS if (folder / name).exists()), "")


def _try_key(key: Path, passphrase_file: Path | None) -> None:
    """Read the key before the site is asked: most mistakes are found here."""
    if passphrase_file is None and needs_passphrase(key):
        raise RemoteSlurmError(
            f"{key} is protected by a passphrase, which a service cannot enter",
            remedy="use a key without one, or give a file that holds it as --passphrase-file",
        )
    names = OPTIONS["IdentityFile"], OPTIONS["PassphraseFile"]
    for _ in from_file(KeyFile(key, None, passphrase_file, *names)):
        return


# --- the command ---


async def _init(arguments: argparse.Namespace, dialog: Options, keys: dict[str, Any], output: Path) -> int:
    known_hosts = output.parent / _KNOWN_HOSTS
    # what is copied from it is trusted
    if known_hosts.exists() and (found := unsafe_file(known_hosts)):
        raise RemoteSlurmError(f"{known_hosts} is not used: {found}")
    wishes = Wishes(arguments.partition, arguments.account, arguments.qos, arguments.runtime, arguments.folder)
    with tempfile.TemporaryDirectory(prefix="remote-slurm-init-") as folder:
        draft = Path(folder) / _KNOWN_HOSTS
        if known_hosts.exists():
            shutil.copyfile(known_hosts, draft)
        outcome = await set_up({**keys, "UserKnownHostsFile": str(draft)}, dialog, wishes)
        trusted = draft.read_text(encoding="utf-8")
    if not known_hosts.exists() or known_hosts.read_text(encoding="utf-8") != trusted:
        _write(known_hosts, trusted)
    _write(output, render({**keys, "UserKnownHostsFile": str(known_hosts)}, *_found(outcome)))
    dialog.screen.line(f"wrote {output} and {known_hosts}")
    if outcome.warning:
        dialog.screen.line(f"note: Slurm accepts no job now: {outcome.warning}")
    return await _check(output, dialog.screen)


def _found(outcome: Outcome) -> tuple[Any, ...]:
    return outcome.facts, outcome.choices, outcome.fingerprints


def _write(path: Path, text: str) -> None:
    """Replace the file; no other account can write to it, and it holds no secret."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode) & 0o644 if path.exists() else 0o644)
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise RemoteSlurmError(f"{path} cannot be written: {error.strerror}") from error


async def _check(output: Path, screen: Screen) -> int:
    """Check the file that was written, as `remote-slurm check` does."""
    try:
        config = load_config(output, {}, (), semantic_problems)
    except ConfigError as error:
        raise RemoteSlurmError(f"the file that was written cannot be read: {error}") from error
    site_check = SiteCheck(config)
    try:
        is_good = await show_findings(site_check, screen)
    finally:
        await site_check.close()
    screen.line("next:" if is_good else "correct what failed, and then:")
    screen.line(f"  remote-slurm check --config {output} --job")
    screen.line(f"  remote-slurm serve --config {output}")
    return 0 if is_good else 1
