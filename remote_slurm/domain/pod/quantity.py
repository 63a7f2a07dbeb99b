"""Kubernetes quantities ("500m", "100Mi", "16G") as whole numbers, rounded up as a scheduler has to."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

from remote_slurm.config.quantity import amount_of
from remote_slurm.errors import InvalidRequest

MIB = 1024 * 1024

# Kubernetes' own syntax (apimachinery, resource.Quantity), and the largest number that it can hold
# A number of digits can be matched in one way only: else a text of n digits that is no number takes n * n steps
_FORM = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2}|[KMGTPE]i|[numkMGTPE])?", re.ASCII)
_LARGEST = 2**63 - 1
_SHOWN = 100


def quantity(value: str | float, what: str) -> Decimal:
    """Return the value of a quantity. Raises InvalidRequest with a sentence about `what`."""
    if len(str(value)) > _SHOWN or not _FORM.fullmatch(str(value)):
        raise InvalidRequest(
            f"invalid value '{str(value)[:_SHOWN]}' of {what}: must be a Kubernetes quantity such as 2, 500m or 100Mi"
        )
    result = amount_of(str(value))
    if not 0 <= result <= _LARGEST:
        raise InvalidRequest(f"invalid value '{str(value)[:_SHOWN]}' of {what}: must be from 0 to 2^63 - 1")
    return result


def whole(amount: Decimal) -> int:
    """Rounded up: half a CPU is a CPU, since Slurm gives out whole ones."""
    return int(amount.to_integral_value(ROUND_CEILING))
