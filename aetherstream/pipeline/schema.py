"""The JSON Schema of pipeline files and of their tests, generated from the models.

`json_schema` and `cases_schema` are what editors use; there a value may also be `${NAME}`, which is filled in when the
file is loaded. The loader itself checks filled-in files against `strict_schema`.
"""

from functools import cache
from inspect import cleandoc
from typing import Any

import msgspec

from aetherstream.pipeline.model import PipelineFile
from aetherstream.pipeline.model_aggregates import WINDOW_KINDS, DeclaredWindow, GroupPart
from aetherstream.pipeline.model_objects import PartitionPart
from aetherstream.pipeline.model_opensearch import TARGET_KINDS, OpenSearchSink
from aetherstream.pipeline.model_sinks import Sink
from aetherstream.transforms.model import Step

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ONE_OF: dict[type, tuple[str, ...]] = {
    OpenSearchSink: TARGET_KINDS,
    DeclaredWindow: WINDOW_KINDS,
    GroupPart: ("field", "expr"),
}
"""Models of which exactly one of these fields is set."""
_ONE_KEY: tuple[type, ...] = (Step, Sink)
"""Models of which exactly one field is set."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a pipeline file as a person writes it."""
    schema = with_variables(strict_schema(PipelineFile))
    # Not in the strict schema: the loader says it of a sink or an aggregate without giving up the rest of it.
    for model, choices in _ONE_OF.items():
        schema["$defs"][model.__name__]["oneOf"] = [{"required": [choice]} for choice in choices]
    return {"$schema": _DIALECT, "title": "AetherStream pipeline", **schema}


def cases_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a file with config tests."""
    from aetherstream.pipeline.cases import CasesFile

    return {"$schema": _DIALECT, "title": "AetherStream pipeline tests", **strict_schema(CasesFile)}


@cache
def strict_schema(model: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema of a model, with the rules that msgspec's types can't say. Not to be changed."""
    schema = msgspec.json.schema(model)
    for definition in schema["$defs"].values():
        if definition.get("required") == []:
            del definition["required"]
        if "description" in definition:  # a docstring, which Python itself has cleaned of its indentation since 3.13
            definition["description"] = cleandoc(definition["description"])
    for one_key in _ONE_KEY:
        if one_key.__name__ in schema["$defs"]:
            schema["$defs"][one_key.__name__] |= {"minProperties": 1, "maxProperties": 1}
    if PartitionPart.__name__ in schema["$defs"]:
        kinds = [{"required": [kind]} for kind in ("time", "field", "expr")]
        schema["$defs"][PartitionPart.__name__]["oneOf"] = kinds
    return schema


def with_variables(node: Any) -> Any:
    """Return a copy of a schema in which `${NAME}` may stand wherever a value must have some form."""
    if isinstance(node, list):
        return [with_variables(item) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {
        key: value if key in ("default", "examples", "enum") else with_variables(value) for key, value in node.items()
    }
    if isinstance(copy.get("propertyNames"), dict):
        copy["propertyNames"] = node["propertyNames"]
    if isinstance(copy.get("pattern"), str):
        copy["pattern"] = f"{copy['pattern']}|\\$\\{{"
    elif copy.get("type") in ("integer", "number", "boolean") or isinstance(copy.get("enum"), list):
        words = {key: copy.pop(key) for key in ("title", "description", "examples", "default") if key in copy}
        return {**words, "anyOf": [copy, {"type": "string", "pattern": "\\$\\{"}]}
    return copy
