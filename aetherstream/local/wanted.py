"""Whether the pipeline that is deployed has a sink for a server that the one-machine stack could bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aetherstream.local.sam import Application, declared_parameters


@dataclass(frozen=True, slots=True)
class Server:
    """A kind of server, as templates and pipeline files name it."""

    kind: str
    """Of the sink."""
    parameter: str
    """The template's parameter for its address."""
    variable: str
    """What the template makes of that for the functions, and the pipeline file names."""


OPENSEARCH = Server("opensearch", "OpenSearchEndpoint", "AETHERSTREAM_OPENSEARCH_ENDPOINT")
REDSHIFT = Server("redshift", "RedshiftEndpoint", "AETHERSTREAM_REDSHIFT_ENDPOINT")


def wanted(server: Server, application: Application, parameters: Mapping[str, str]) -> bool:
    """Whether the pipeline has a sink for the deployment's server, and `parameters` do not name that."""
    declared = declared_parameters(application.template)
    if server.parameter not in declared or parameters.get(server.parameter):
        return False
    file = parameters.get("PipelineFile") or declared.get("PipelineFile", {}).get("Default")
    return file is not None and any(_is_for(sink, server) for sink in _sinks(application.directory / file))


def submits(application: Application, parameters: Mapping[str, str]) -> bool:
    """Whether a sink of the pipeline loads through the Redshift Data API."""
    declared = declared_parameters(application.template)
    file = parameters.get("PipelineFile") or declared.get("PipelineFile", {}).get("Default")
    return file is not None and any(map(_submits, _sinks(application.directory / file)))


def _sinks(file: Path) -> list[Any]:
    """The sinks as they are written. What is wrong with the file is for the build and the function to say."""
    try:
        document = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return []
    sinks = document.get("sinks") if isinstance(document, dict) else None
    return list(sinks.values()) if isinstance(sinks, dict) else []


def _is_for(sink: Any, server: Server) -> bool:
    settings = sink.get(server.kind) if isinstance(sink, dict) else None
    return isinstance(settings, dict) and server.variable in str(settings.get("endpoint"))


def _submits(sink: Any) -> bool:
    settings = sink.get("redshift") if isinstance(sink, dict) else None
    load = settings.get("load") if isinstance(settings, dict) else None
    return isinstance(load, dict) and load.get("through") == "data_api"
