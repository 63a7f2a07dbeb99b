"""Collect the records that runners have written to the spool."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from remote_slurm.config import Config
from remote_slurm.domain.plan.node_local_files import file_transfer
from remote_slurm.domain.records import Record, parse_records
from remote_slurm.log import info, warning
from remote_slurm.site.operation import Operation, lines, yes
from remote_slurm.site.reply import Reply


@dataclass(frozen=True, slots=True)
class OtherSidecars:
    """What other sidecars with the same DataRootFolder do.

    `newer_mark` is None if no newer sidecar owns the folder; else the owner's heartbeat, which changes with each of its
    polls, or an empty text if it is unknown. `older_acted`: an older sidecar has submitted or deleted pods since the
    last recovery or survey.
    """

    newer_mark: str | None = None
    older_acted: bool = False


@dataclass(frozen=True, slots=True)
class SpoolReply:
    """The records since the last confirmed call, and what the script noticed of other sidecars."""

    records: list[Record]
    others: OtherSidecars


class SpoolReader:
    """Confirms each reply with the next call, so that records of a lost reply are sent again."""

    def __init__(self) -> None:
        self._received: list[str] = []  # calls whose records have arrived
        self._sent: list[str] = []  # calls since then: a later reply includes the records of a lost one
        self._uncleared: tuple[str, ...] = ()  # ended pods whose secrets could not be removed yet

    def operation(
        self, config: Config, ended: Iterable[str], *, owner: bool, early: bool = False
    ) -> Operation[SpoolReply]:
        """The owner of DataRootFolder also empties the spool, and removes the secrets of the `ended` pods.

        If the call is not `early`, the owner shows older sidecars that it is alive.
        """
        ended = (*dict.fromkeys((*self._uncleared, *ended)),) if owner else ()
        self._sent.append(f"{time.time_ns():x}-{secrets.token_hex(3)}")
        values = {
            "token": self._sent[-1],
            "seen": " ".join(self._received),
            "owns": yes(owner),
            "beats": yes(owner and not early),
            "ended": yes(bool(ended)),
            "carried": yes(file_transfer(config).reports_in_comment),
        }
        return Operation("records", partial(self._read, ended=ended), values, lines(ended) if ended else b"")

    def _read(self, reply: Reply, *, ended: tuple[str, ...]) -> SpoolReply:
        reply.require("records")
        if ended:
            self._note_secrets(ended if reply.has("uncleared") else ())
        # a call prints what the ones before have moved: if it prints nothing, none of them has moved anything
        self._received, self._sent = self._sent if reply.messages else [], []
        return SpoolReply(parse_records(reply.messages), OtherSidecars(_newer_mark(reply), reply.has("older")))

    def _note_secrets(self, uncleared: tuple[str, ...]) -> None:
        if uncleared and not self._uncleared:
            warning("cannot remove the secrets of ended pods at the site, trying again", pods=len(uncleared))
        elif self._uncleared and not uncleared:
            info("removed the secrets of ended pods")
        self._uncleared = uncleared


def _newer_mark(reply: Reply) -> str | None:
    if not reply.has("newer"):
        return None
    epoch, _, mark = reply.get("newer").partition(" ")
    return f"{epoch} {mark}" if mark else ""
