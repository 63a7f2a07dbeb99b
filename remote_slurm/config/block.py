"""What all blocks of the configuration share: how a key is spelled, and what an empty value means."""

from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

_ACRONYMS = frozenset({"cpu", "uid", "url", "vk"})


def file_key(attribute: str) -> str:
    """Spell an attribute as the file does: `default_cpu` is `DefaultCPU`."""
    return "".join(word.upper() if word in _ACRONYMS else word.capitalize() for word in attribute.split("_"))


class Machine(NamedTuple):
    """What a value's meaning depends on, on the machine where the sidecar runs; handed to validation as its context."""

    folder: Path
    """The folder of the configuration file: relative local paths start here."""
    home: Path
    """What `~` means in a local path."""
    state_folder: Path
    """What an absent StateFolder means."""


class Block(BaseModel):
    """A mapping of known keys: an unknown one is an error, and an empty value means the default, as in Go."""

    model_config = ConfigDict(
        alias_generator=file_key,
        extra="forbid",
        frozen=True,
        validate_by_alias=True,
        validate_by_name=True,
    )

    @classmethod
    def keys(cls) -> dict[str, str]:
        """Map the file's keys to attributes."""
        return {field.alias or name: name for name, field in cls.model_fields.items()}

    @model_validator(mode="before")
    @classmethod
    def _empty_means_default(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = cls.keys()
        return {key: value for key, value in data.items() if value != "" or key not in known}


def setting(
    default: Any, description: str, *, key: str | None = None, environment: str = "", later: str = ""
) -> Any:
    """Declare a key: its default, what it does, its environment variable, and what happens while it does nothing yet."""
    extra: JsonDict = {name: text for name, text in (("environment", environment), ("later", later)) if text}
    return Field(default, alias=key, description=description, json_schema_extra=extra, validate_default=True)
