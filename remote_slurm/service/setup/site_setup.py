"""From an address to a configuration that works: confirm the host keys, log in, look at the site, and choose.

A person, or the options of the command, answers the questions (`Dialog`). Nothing is written on this machine but the
known_hosts file that the settings name, and nothing is submitted.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from remote_slurm.config import SSH, Config
from remote_slurm.config.algorithms import Kind, default
from remote_slurm.domain.slurm.refusals import Refusal, classify_refusal
from remote_slurm.domain.slurm.scontrol import SlurmSettings
from remote_slurm.errors import HostKeyRefused, OfferedKey, RemoteFailed, RemoteSlurmError, SiteError
from remote_slurm.service.check.connection import ConnectionChecks
from remote_slurm.service.check.findings import CheckFailed, one_line
from remote_slurm.service.check.site_check import newest_version
from remote_slurm.service.check.submission import AnswersOperations, job_flags
from remote_slurm.service.setup.choices import (
    DEFAULT_MEMORY,
    NO_RUNTIME,
    Choices,
    Flags,
    SiteFacts,
    Wishes,
    candidates,
    config_keys,
    default_memory,
    folder_choices,
    gpu_candidates,
    partition_of,
    ranked,
    ranked_accounts,
    runtime_choices,
    value_of,
    with_sinfo,
)
from remote_slurm.site.operations import (
    check_folder,
    check_runtime,
    check_slurm,
    nodes,
    slurm_settings,
    survey,
    try_submit,
)
from remote_slurm.site.operations.survey import Survey
from remote_slurm.site.operations.try_submit import TriedJob
from remote_slurm.site.remote_site import RemoteSite
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.reachability import forwards
from remote_slurm.ssh.sessions import Sessions
from remote_slurm.ssh.threads import in_thread

_FORWARD_SECONDS = 10.0
_SSHD_PORT = 22
_CERTIFICATE = "-cert-"
_NEEDED = ("sbatch", "scancel", "squeue", "sinfo")
# What `check --job` requests, so that the option is known to be accepted
_MEMORY = "--mem=100M"
_MOST_HOPS = 10
_MOST_ANSWERS = 3
# The options of the command, by keys of the block SSH
OPTIONS = {
    "HostName": "--host",
    "Port": "--port",
    "User": "--user",
    "IdentityFile": "--key",
    "PassphraseFile": "--passphrase-file",
    "ProxyJump": "--jump",
}


class Dialog(Protocol):
    """Who answers questions: a person at a terminal, or the options of the command."""

    async def confirm(self, offered: Sequence[OfferedKey], *, are_all: bool) -> OfferedKey | None:
        """The key that is trusted, of those that a host has offered. None: show its other keys, unless these `are_all`.

        Raises RemoteSlurmError if none of them is trusted.
        """

    async def choose(self, what: str, options: Sequence[str], usual: str) -> str:
        """One of the options, or another value that the person enters."""

    def say(self, text: str) -> None:
        """Report progress."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found and chosen; `fingerprints` are those of the confirmed keys, `warning` is for the person."""

    facts: SiteFacts
    choices: Choices
    fingerprints: tuple[str, ...]
    warning: str = ""


class Access(Protocol):
    """What `SiteChoice` needs of `HostAccess`."""

    def site(self, config: Config) -> AnswersOperations: ...

    async def forwards(self) -> bool | None: ...


class HostAccess:
    """The way to the site, until its login shell answers."""

    def __init__(self, config: Config, dialog: Dialog) -> None:
        self._config = config
        self._ssh: SSH = config.ssh
        self._dialog = dialog
        self.connection = Connection(self._ssh)
        self.sessions = Sessions(self.connection)
        self.confirmed: list[OfferedKey] = []

    async def close(self) -> None:
        await self.sessions.close()
        await self.connection.close()

    def site(self, config: Config) -> RemoteSite:
        """The site with another configuration than that of the connection."""
        return RemoteSite(self.sessions, config)

    async def forwards(self) -> bool | None:
        """Whether the login node forwards connections; None if that is unclear."""
        return await in_thread("ssh-forwards", forwards, await self.connection.link(), _SSHD_PORT, _FORWARD_SECONDS)

    async def log_in(self) -> None:
        """Confirm host keys and log in. Raises RemoteSlurmError with one sentence about what prevents it."""
        checks = ConnectionChecks(self._config, self.connection, self.site(self._config), OPTIONS)
        steps = checks.steps
        with _sentences():
            address = await steps["address"]()
            self._dialog.say(address.message)
            await self._learn_host_keys()
            for name in ("host key", "login", "shell"):
                holds = await steps[name]()
                if name != "host key":  # it was confirmed, or the file of the site knows it
                    self._dialog.say(holds.message)
                if holds.remedy:
                    self._dialog.say(f"note: {holds.remedy}")

    async def _learn_host_keys(self) -> None:
        """Confirm the key of each host on the way that is not known yet."""
        for _ in range(_MOST_HOPS):
            try:
                await self.connection.link()
            except HostKeyRefused as error:
                if error.offered is None:
                    raise
                await self._confirm(error.offered)
            except SiteError:
                return  # for the steps that follow
            else:
                return

    async def _confirm(self, first: OfferedKey) -> None:
        trusted = await self._dialog.confirm([first], are_all=False)
        if trusted is None:
            offered = [first, *[key async for key in self._other_keys(first)]]
            trusted = await self._dialog.confirm(offered, are_all=True)
        if trusted is None:
            raise RemoteSlurmError(f"no host key of {first.name} was confirmed")
        path = self._ssh.user_known_hosts_file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{trusted.line}\n", "utf-8")
        self.confirmed.append(trusted)

    async def _other_keys(self, first: OfferedKey) -> AsyncIterator[OfferedKey]:
        """The host's keys of the other types: a site may publish the fingerprint of one type only."""
        plain = [name for name in default(Kind.HOST_KEYS) if _CERTIFICATE not in name]
        rsa = tuple(name for name in plain if name.startswith("rsa-"))
        groups = [(name,) for name in plain if name not in rsa] + [rsa]
        kinds = {first.kind}
        for group in groups:
            if first.kind in group or (first.kind == "ssh-rsa" and group == rsa):
                continue
            # the others follow for jump hosts, whose keys are known by now
            order = (*group, *(name for name in plain if name not in group))
            connection = Connection(self._ssh.model_copy(update={"host_key_algorithms": order}))
            try:
                await connection.link()
            except HostKeyRefused as error:
                key = error.offered
                if key is not None and key.name == first.name and key.kind not in kinds:
                    kinds.add(key.kind)
                    yield key
            except SiteError:
                continue  # the host has no key of this type
            finally:
                await connection.close()


class SiteChoice:
    """Looks at a site and chooses; `keys` is the block SSH, and `access` reaches the site."""

    def __init__(self, keys: dict[str, Any], access: Access, dialog: Dialog, wishes: Wishes) -> None:
        self._keys = keys
        self._access = access
        self._dialog = dialog
        self._wishes = wishes

    async def run(self) -> tuple[SiteFacts, Choices, str]:
        """What was found, what follows from it, and a warning. Raises RemoteSlurmError if no configuration works."""
        facts = await self._look()
        choices, warning = await self._choose(facts)
        return replace(facts, runtime_version=await self._runtime_version(choices)), choices, warning

    def _site(self, keys: dict[str, Any]) -> AnswersOperations:
        return self._access.site(Config.model_validate(keys))

    # --- what is there ---

    async def _look(self) -> SiteFacts:
        self._dialog.say("looking at the site")
        with _sentences():
            site = self._site({"SSH": self._keys})
            found = await site.ask(survey.operation())
            if missing := [name for name in _NEEDED if name not in found.commands]:
                raise RemoteSlurmError(
                    f"{found.host} has no Slurm that this account can use: {', '.join(missing)} cannot be found",
                    remedy="give the login node of a Slurm cluster as --host, or ask the site where its commands are",
                )
            config = Config.model_validate(config_keys(self._keys, SiteFacts(found), Choices()))
            slurm = await site.ask(check_slurm.operation(config))
            if slurm.squeue_failed is not None:
                raise RemoteSlurmError(
                    f"Slurm is on {found.host}, but squeue fails: {one_line(slurm.squeue_failed)}",
                    remedy="repeat this when the site's slurmctld is back, or ask whether the account may use Slurm",
                )
            settings = await self._settings(site, config)
        partitions = await self._partitions(site, config)
        return SiteFacts(
            survey=found,
            version=f"Slurm {newest_version(slurm.versions)}",
            settings=with_sinfo(settings, partitions),
            free_cpus={each.name: each.free for each in partitions},
            has_accounting=slurm.has_accounting,
            forwards=await self._access.forwards(),
        )

    async def _settings(self, site: AnswersOperations, config: Config) -> SlurmSettings:
        try:
            return await site.ask(slurm_settings.operation(config))
        except RemoteFailed:
            return SlurmSettings()

    async def _partitions(self, site: AnswersOperations, config: Config) -> list[Any]:
        try:
            return await site.ask(nodes.partitions(config))
        except SiteError:
            return []  # PrivateData

    # --- what follows from it ---

    async def _choose(self, facts: SiteFacts) -> tuple[Choices, str]:
        choices = await self._runtime(facts.survey)
        choices = replace(choices, folder=await self._folder(facts.survey))
        choices, warning = await self._submission(facts, choices)
        gpu = await self._accepted(facts, choices, gpu_candidates(facts, choices.flags))
        return replace(choices, gpu_flags=gpu[0] if gpu else ()), warning

    async def _runtime(self, found: Survey) -> Choices:
        options = list(runtime_choices(found, self._wishes))
        names = [each.runtime for each in options]
        if self._wishes.runtime or names[0] != NO_RUNTIME:
            return options[0]
        self._dialog.say("the login node has no container runtime; compute nodes may have one")
        name = await self._dialog.choose("container runtime of the compute nodes", names, NO_RUNTIME)
        return next(iter(runtime_choices(found, replace(self._wishes, runtime=name))))

    async def _folder(self, found: Survey) -> str:
        options = folder_choices(found, self._wishes)
        chosen = options[0]
        if not self._wishes.folder:
            chosen = await self._dialog.choose("folder for pods, which compute nodes see too", options, chosen)
        tried = [chosen, *(each for each in options if each != chosen)]
        problem = ""
        for path in tried:
            problem = await self._folder_problem(path)
            if not problem:
                return path
            if path == chosen and (self._wishes.folder or chosen not in options):
                break
            self._dialog.say(problem)
        raise RemoteSlurmError(problem, remedy="give another --folder")

    async def _folder_problem(self, path: str) -> str:
        site = self._site({"SSH": self._keys, "DataRootFolder": path})
        try:
            found = await site.ask(check_folder.operation())
        except RemoteFailed as error:
            return one_line(error.message)
        if found.is_written and found.has_symlinks and not found.is_open:
            return ""
        return f"DataRootFolder {path} cannot be used: {one_line(found.messages) or 'it cannot be written'}"

    async def _submission(self, facts: SiteFacts, choices: Choices) -> tuple[Choices, str]:
        """The sbatch options that pods need here, if any."""
        usual = await self._first_accepted(facts, choices, self._wishes)
        for _ in range(_MOST_ANSWERS):
            wishes = await self._asked(facts, usual[0].flags)
            if wishes == self._wishes:
                return usual
            try:
                return await self._first_accepted(facts, choices, wishes)
            except RemoteSlurmError as error:
                self._dialog.say(str(error))
        raise RemoteSlurmError("Slurm accepts no job with the partition and the account that were chosen")

    async def _asked(self, facts: SiteFacts, flags: Flags) -> Wishes:
        """The wishes, with the partition and the account that the person chooses of several."""
        wishes = self._wishes
        own = partition_of(facts, flags)
        partitions = [each.name for each in ranked(facts.partitions)]
        if not wishes.partition and len(partitions) > 1:
            usual = own.name if own else partitions[0]
            chosen = await self._dialog.choose("partition for pods that name none", partitions, usual)
            wishes = replace(wishes, partition="" if chosen == usual else chosen)
        accounts = ranked_accounts(facts.survey)
        if not wishes.account and len(accounts) > 1:
            usual = value_of(flags, "account") or accounts[0]
            chosen = await self._dialog.choose("Slurm account", accounts, usual)
            wishes = replace(wishes, account="" if chosen == usual else chosen)
        return wishes

    async def _first_accepted(self, facts: SiteFacts, choices: Choices, wishes: Wishes) -> tuple[Choices, str]:
        """The choices with options that Slurm accepts; with a warning if it accepts none now, and may do so later."""
        options = candidates(facts, wishes)
        refused: list[TriedJob] = []
        for memory_option in (True, False):
            tried = replace(choices, memory_option=memory_option)
            accepted = await self._accepted(facts, tried, options, refused)
            if accepted:
                tried = replace(tried, flags=accepted[0])
                return replace(tried, default_memory=await self._memory(facts, tried) if memory_option else ""), ""
        words = one_line("\n".join(refused[0].messages)) if refused else "sbatch --test-only did not answer"
        if refused and all(classify_refusal("\n".join(job.messages)) is Refusal.FOR_GOOD for job in refused):
            raise RemoteSlurmError(
                f"Slurm accepts no job of this account: {words[:300]}",
                remedy="give --partition, --account and --qos as the site wants them",
            )
        flags = options[0]
        return replace(choices, flags=flags, default_memory=default_memory(facts, flags)), words[:300]

    async def _memory(self, facts: SiteFacts, choices: Choices) -> str:
        """DefaultMemory; empty if the site's own default is right, or if the nodes have less than ours.

        The site's default may be more than a node has, so that Slurm refuses jobs that request no memory.
        """
        usual = default_memory(facts, choices.flags)
        without = replace(choices, memory_option=False)
        if not usual and await self._accepted(facts, without, [choices.flags]):
            return ""
        ours = f"--mem={DEFAULT_MEMORY.removesuffix('i')}"
        return DEFAULT_MEMORY if await self._accepted(facts, choices, [(*choices.flags, ours)]) else ""

    async def _accepted(
        self, facts: SiteFacts, choices: Choices, options: Sequence[Flags], refused: list[TriedJob] | None = None
    ) -> list[Flags]:
        """The first of the options that Slurm accepts; none if it accepts none."""
        if not options:
            return []
        config = Config.model_validate(config_keys(self._keys, facts, choices))
        memory = [_MEMORY] if choices.memory_option else []
        jobs = [job_flags(config, shlex.join([*memory, *flags])) for flags in options]
        try:
            answers = await self._site({"SSH": self._keys}).ask(try_submit.operation(config, jobs, until_accepted=True))
        except SiteError as error:
            self._dialog.say(f"sbatch --test-only: {one_line(error.message)}")
            return []
        if refused is not None:
            refused.extend(job for job in answers if not job.is_accepted)
        return [options[number] for number, job in enumerate(answers) if job.is_accepted][:1]

    async def _runtime_version(self, choices: Choices) -> str:
        if not choices.runtime_path:
            return ""
        return (await self._site({"SSH": self._keys}).ask(check_runtime.operation(choices.runtime_path))).version


async def set_up(keys: dict[str, Any], dialog: Dialog, wishes: Wishes) -> Outcome:
    """Reach the site, look at it, and choose; `keys` is the block SSH as in the file.

    Confirmed host keys are added to the known_hosts file that it names. Raises RemoteSlurmError with one sentence.
    """
    access = HostAccess(Config.model_validate({"SSH": keys}), dialog)
    try:
        await access.log_in()
        facts, choices, warning = await SiteChoice(keys, access, dialog, wishes).run()
    finally:
        await access.close()
    prints = tuple(f"{key.name} {key.kind} {key.fingerprint}" for key in access.confirmed)
    return Outcome(facts, choices, prints, warning)


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """Findings of `check` as errors of the command."""
    try:
        yield
    except CheckFailed as error:
        raise RemoteSlurmError(str(error), remedy=error.remedy) from error
