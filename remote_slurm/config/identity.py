"""The block Identities: which pods run as which account of the site, so that jobs are accounted as whose they are."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from remote_slurm.config.block import Block, setting
from remote_slurm.config.places import LocalPath, Login, SiteFolder
from remote_slurm.config.ssh import SSH
from remote_slurm.config.values import Line, Words, line_of_text, shown


class OwnSSH(Block):
    """What of the block SSH an identity has for itself; all else is as it stands there."""

    user: Login | None = setting(None, "The account at the site.")
    identity_file: LocalPath | None = setting(None, "Its private key, on this machine.")
    certificate_file: LocalPath | None = setting(None, "The certificate for the key.")
    passphrase_file: LocalPath | None = setting(None, "The file that holds the key's passphrase.")
    before_connect: Words = setting("", "The command that renews the key.")

    def over(self, ssh: SSH) -> SSH:
        """`ssh` with these in their places: with a key of its own, an identity has nothing else of the other's."""
        own = {name: getattr(self, name) for name in self.model_fields_set if getattr(self, name)}
        if self.identity_file:
            own = {"certificate_file": None, "passphrase_file": None, **own}
        return ssh.model_copy(update=own)


def service_account(value: object) -> str:
    """Accept `namespace/name`, of which each may be a pattern."""
    name = line_of_text(value).strip()
    namespace, slash, account = name.partition("/")
    if not (namespace and slash and account) or "/" in account:
        raise ValueError(f"must be namespace/name of a service account, not {shown(value)}")
    return name


ServiceAccount = Annotated[str, BeforeValidator(service_account)]


class Identity(Block):
    """Whose pods these are, and as whom they run. Patterns are those of file names (*, ?)."""

    namespaces: tuple[Line, ...] = setting((), "The namespaces, as patterns, whose pods have this identity.")
    service_accounts: tuple[ServiceAccount, ...] = setting(
        (), "The service accounts, as patterns of namespace/name; they come before namespaces."
    )
    ssh: OwnSSH = Field(
        default_factory=OwnSSH,
        alias="SSH",
        description="User, IdentityFile, CertificateFile, PassphraseFile and BeforeConnect where they differ.",
    )
    data_root_folder: SiteFolder | None = setting(None, "The folder for its pods at the site, where it differs.")
    account: Line = setting("", "The Slurm account that its jobs are charged to, whatever their flags say.")
    qos: Line = setting("", "The QOS of its jobs.", key="QOS")
    partition: Line = setting("", "The partition of its jobs.")

    @property
    def forced_flags(self) -> tuple[str, ...]:
        """As Policy.ForcedFlags has them."""
        names = {"account": self.account, "qos": self.qos, "partition": self.partition}
        return tuple(f"--{name}={value}" for name, value in names.items() if value)
