"""The block Identities: which account at the site runs which pods."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from remote_slurm.config.block import Block, setting
from remote_slurm.config.path_types import LocalPath, Login, SiteFolder
from remote_slurm.config.scalar_types import OneLine, Words, line_of_text, shown
from remote_slurm.config.ssh import SSH


class OwnSSH(Block):
    """The keys of SSH that an identity can override."""

    user: Login | None = setting(None, "Account at the site.")
    identity_file: LocalPath | None = setting(None, "Local path of the private key.")
    certificate_file: LocalPath | None = setting(None, "Local path of the certificate for the key.")
    passphrase_file: LocalPath | None = setting(
        None, "Local path of a file whose first line is the passphrase of the key."
    )
    before_connect: Words = setting("", "Local command that renews the key.")

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
    """The pods of an identity, and the account that runs them. Patterns are those of file names (*, ?)."""

    namespaces: tuple[OneLine, ...] = setting((), "Namespaces whose pods use this identity, as patterns.")
    service_accounts: tuple[ServiceAccount, ...] = setting(
        (),
        "Service accounts whose pods use this identity, as patterns of namespace/name. They take precedence over "
        "Namespaces.",
    )
    ssh: OwnSSH = Field(
        default_factory=OwnSSH,
        alias="SSH",
        description="Keys of SSH that differ: User, IdentityFile, CertificateFile, PassphraseFile, BeforeConnect.",
    )
    data_root_folder: SiteFolder | None = setting(
        None, "Folder at the site for the pods of this identity. Default: DataRootFolder."
    )
    account: OneLine = setting("", "Slurm account of all its jobs. It overrides the flags of pods.")
    qos: OneLine = setting("", "QOS of all its jobs. It overrides the flags of pods.", key="QOS")
    partition: OneLine = setting("", "Partition of all its jobs. It overrides the flags of pods.")

    @property
    def forced_flags(self) -> tuple[str, ...]:
        """As Policy.ForcedFlags has them."""
        names = {"account": self.account, "qos": self.qos, "partition": self.partition}
        return tuple(f"--{name}={value}" for name, value in names.items() if value)
