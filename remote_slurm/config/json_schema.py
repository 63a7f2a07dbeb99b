"""A JSON Schema of SlurmConfig.yaml for editors: keys, descriptions, defaults and choices."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

from remote_slurm.config.model import Config

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SHAPES = ("$ref", "properties", "additionalProperties", "items")


def config_schema() -> dict[str, Any]:
    """Return the schema. It accepts each valid file, and rejects unknown keys and values of the wrong shape."""
    return Config.model_json_schema(by_alias=True, schema_generator=_Generator, mode="validation")


class _Generator(GenerateJsonSchema):
    """Most keys accept more spellings than the type that they become: `10s`, `"22"`, or one word instead of a list."""

    def generate(self, schema: Any, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        return {"$schema": _DIALECT, "title": "SlurmConfig.yaml of remote-slurm", **super().generate(schema, mode)}

    def function_before_schema(self, schema: Any) -> JsonSchemaValue:
        made = super().function_before_schema(schema)
        if made.get("type") == "array":
            return {}
        return made if any(key in made for key in _SHAPES) else {}

    def get_title_from_name(self, name: str) -> str:
        return name

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the key is the title
        return False
