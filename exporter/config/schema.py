"""The JSON schema of the configuration file, for editors: `python -m exporter.config.schema`.

It is made from the model, so the two cannot drift apart. What a schema cannot say, such as that
names differ, is left to `check-config`.
"""

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import (
    GenerateJsonSchema,
    JsonSchemaMode,
    JsonSchemaValue,
    NoDefault,
)

from exporter.config.model import File

if TYPE_CHECKING:
    from pydantic_core import core_schema

_TITLE: Final = "pgconn-exporter configuration"


class _Schema(GenerateJsonSchema):
    """pydantic's generator, for a file that is written by people and not by pydantic."""

    def generate(
        self, schema: "core_schema.CoreSchema", mode: JsonSchemaMode = "validation"
    ) -> JsonSchemaValue:
        """Name the dialect and the whole, but not the classes behind it."""
        made = super().generate(schema, mode)
        for definition in made["$defs"].values():
            definition.pop("title", None)
        return {"$schema": self.schema_dialect, **made, "title": _TITLE}

    def field_title_should_be_set(self, schema: object) -> bool:
        """Leave out a title like "Max Overhead" on max_overhead."""
        del schema
        return False

    def nullable_schema(self, schema: "core_schema.NullableSchema") -> JsonSchemaValue:
        """Describe a key that may be left out by what it may hold."""
        return self.generate_inner(schema["schema"])

    def get_default_value(self, schema: "core_schema.WithDefaultSchema") -> object:
        """Give defaults as they are written in the file: 1s and not 1.0."""
        default = super().get_default_value(schema)
        if default is None or default == ():
            return NoDefault
        form: Any = schema["schema"].get("serialization", {})
        return form["function"](default) if form.get("type") == "function-plain" else default


def file_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the configuration file."""
    return File.model_json_schema(schema_generator=_Schema)


def render_schema() -> str:
    """Return the text of config.schema.json."""
    return json.dumps(file_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render_schema())
