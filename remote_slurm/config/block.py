"""What all blocks of the configuration share: how a key is spelled, and what an empty value means."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from pydantic.config import JsonDict

_ACRONYMS = frozenset({"ca", "cpu", "crl", "uid", "url", "vk"})


def file_key(attribute: str) -> str:
    """Spell an attribute as the file does: `default_cpu` is `DefaultCPU`."""
    return "".join(word.upper() if word in _ACRONYMS else word.capitalize() for word in attribute.split("_"))


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


class KeyGroup(Block):
    """Keys that are described together: `title` is the heading of their table in docs/configuration.md."""

    title: ClassVar[str]


def setting(
    default: Any, description: str, *, key: str | None = None, environment: str = "", no_effect: str = ""
) -> Any:
    """Declare a key that may be absent.

    `environment` is the variable that wins over it; `no_effect` is a warning: the key is accepted, and has no effect.
    """
    notes = {"environment": environment, "no_effect": no_effect}
    extra: JsonDict = {name: note for name, note in notes.items() if note}
    return Field(default, alias=key, description=description, json_schema_extra=extra, validate_default=True)
