"""What all pieces of interLink's JSON have in common."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Strict, model_validator
from pydantic.alias_generators import to_camel

# As Go reads JSON: neither `true` nor "1" is a number, and 1 is no boolean
Integer = Annotated[int, Strict()]
Boolean = Annotated[bool, Strict()]


def _amount(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be a quantity such as 2, 500m or 100Mi")  # noqa: TRY004 - pydantic reads only this one
    return value


Amount = Annotated[str | int | float, BeforeValidator(_amount)]


class JsonModel(BaseModel):
    """A piece of a request: unknown keys are other people's business, `null` means absent."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Itself, since it is frozen: pydantic copies each default that has no hash, for each pod of each request."""
        return self
