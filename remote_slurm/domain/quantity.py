"""Kubernetes quantities ("500m", "100Mi", "16G") as whole numbers, rounded up as a scheduler has to."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

from remote_slurm.config.quantity import amount_of
from remote_slurm.errors import Rejected

MIB = 1024 * 1024

# Kubernetes' own syntax (apimachinery, resource.Quantity), and the largest number that it can hold
_FORM = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2}|[KMGTPE]i|[numkMGTPE])?", re.ASCII)
_LARGEST = 2**63 - 1


def quantity(value: str | float, what: str) -> Decimal:
    """The number that a quantity stands for; `what` names it in the sentence of Rejected."""
    if not _FORM.fullmatch(str(value)):
        raise Rejected(f"{what} is '{value}', which is not a Kubernetes quantity such as 2, 500m or 100Mi")
    result = amount_of(str(value))
    if not 0 <= result <= _LARGEST:
        raise Rejected(f"{what} is '{value}': it must be from 0 to 2^63 - 1")
    return result


def whole(amount: Decimal) -> int:
    """Rounded up: half a CPU is a CPU, since Slurm gives out whole ones."""
    return int(amount.to_integral_value(ROUND_CEILING))
