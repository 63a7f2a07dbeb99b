"""Kubernetes quantities ("500m", "100Mi", "16G") as whole numbers, rounded up as a scheduler has to."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from kubernetes.utils.quantity import parse_quantity

from remote_slurm.errors import Rejected

MIB = 1024 * 1024


def quantity(value: str | float, what: str) -> Decimal:
    """The number that a quantity stands for; `what` names it in the sentence of Rejected."""
    try:
        number = Decimal(parse_quantity(value))  # type: ignore[no-untyped-call] # the kubernetes client has no types
    except ValueError as error:
        raise Rejected(f"{what} is '{value}', which is not a Kubernetes quantity such as 2, 500m or 100Mi") from error
    if not number.is_finite() or number < 0:
        raise Rejected(f"{what} is '{value}': it cannot be negative")
    return number


def whole(number: Decimal) -> int:
    """Rounded up: half a CPU is a CPU, since Slurm gives out whole ones."""
    return int(number.to_integral_value(ROUND_CEILING))
