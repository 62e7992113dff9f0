"""Index template, lifecycle policy and first index of a sink: what is missing or differs, and putting it there.

None of it is in the hot path: `aetherstream opensearch setup` applies it at deploy time, and a process that writes for
the first time creates what is missing. What differs is changed by a person only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import orjson

from aetherstream.errors import ConfigurationError
from aetherstream.sinks.opensearch.answers import whole
from aetherstream.sinks.opensearch.template import (
    IndexSpec,
    index_template,
    policy,
    policy_differences,
    template_differences,
)
from aetherstream.sinks.opensearch.wire import Response, Unreachable, Wire

State = Literal["missing", "differs", "unsupported", "forbidden", "blocked"]

_PATIENCE = 60.0
"""Seconds for a person's command."""
_SECONDS = 10.0
"""Most seconds of one request."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which the cluster is not what the pipeline wants."""

    what: str
    """For example `index template flights-search`."""
    state: State
    lines: Sequence[str] = ()
    """For a person: `path: live → wanted`, or why."""

    def __str__(self) -> str:
        return f"{self.what}: {self.state}" + (f" ({'; '.join(self.lines)})" if self.lines else "")


class Setup:
    """The things of one sink on its cluster.

    `collection` tells the type of a Serverless collection (`SEARCH`, `TIMESERIES`, `VECTORSEARCH`), None where it may
    not be asked; without it the cluster is not Serverless.
    """

    def __init__(
        self,
        wire: Wire,
        spec: IndexSpec,
        collection: Callable[[], str | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire = wire
        self._spec = spec
        self._collection = collection
        self._clock = clock
        self._deadline = 0.0

    def check(self) -> list[Difference]:
        """Compare; nothing is changed.

        Raises Unreachable where the cluster does not answer, ConfigurationError where it can't hold the sink at all.
        """
        return [difference for difference, _ in self._plan(_PATIENCE)]

    def apply(self) -> list[Difference]:
        """Put there what is missing or differs; returns what it settled.

        Raises Unreachable, and ConfigurationError where the cluster refuses.
        """
        settled = []
        for difference, act in self._plan(_PATIENCE):
            if act is not None:
                response = act(False)
                if not _good(response):
                    raise ConfigurationError(f"{difference.what}: {whole(response.text, response.status).message}")
                settled.append(difference)
        return settled

    def first_run(self, seconds: float) -> list[str]:
        """Create what is missing and leave what differs; returns what a person should know.

        Raises Unreachable, and ConfigurationError where writing would do harm.
        """
        warnings = []
        for difference, act in self._plan(seconds):
            if difference.state == "missing" and act is not None:
                response = act(True)
                # 400 "already exists", 409: another process was quicker.
                if _good(response) or response.status == 409 or "exists" in response.text:
                    continue
                why = whole(response.text, response.status).message
                if self._spec.kind in ("alias", "data_stream") and not difference.what.startswith("policy"):
                    raise ConfigurationError(f"{difference.what} is missing and can't be created: {why}")
                warnings.append(f"{difference.what} is missing and can't be created: {why}")
            elif difference.state == "blocked":
                raise ConfigurationError(str(difference))
            else:
                warnings.append(_remark(difference))
        return warnings

    def _plan(self, seconds: float) -> list[tuple[Difference, _Act | None]]:
        """Everything that differs, with what would settle it, in the order in which it has to be done."""
        self._deadline = self._clock() + seconds
        serverless = self._collection is not None
        self._check_collection()
        found = self._policy(serverless)
        ism = not serverless and all(each.state != "unsupported" for each, _ in found)
        # The policy first: it attaches to indices when they are created.
        return [*found, *self._template(ism, serverless), *self._first_index()]

    def _check_collection(self) -> None:
        kind = None if self._collection is None else self._collection()
        if kind is not None and kind != "SEARCH":
            raise ConfigurationError(
                f"the Serverless collection is of type {kind}, which takes no ids of our own: each retry would store"
                " its documents again. Make a collection of type SEARCH"
            )

    def _policy(self, serverless: bool) -> list[tuple[Difference, _Act | None]]:
        spec = self._spec
        if not spec.managed:
            return []
        what, path = f"policy {spec.template}", f"/_plugins/_ism/policies/{quote(spec.template, safe='')}"
        if serverless:
            return [(Difference(what, "unsupported", ["Serverless has no lifecycle policies and no rollover"]), None)]
        response = self._ask("GET", path)
        wanted = policy(spec)
        if response.status == 400 and "no handler found" in response.text:
            why = "the cluster has no index state management: nothing is rolled over or removed by itself"
            return [(Difference(what, "unsupported", [why]), None)]
        if response.status == 404:
            return [(Difference(what, "missing"), lambda _: self._ask("PUT", path, wanted))]
        if (refused := _refused(what, response)) is not None:
            return [(refused, None)]
        live = orjson.loads(response.text)
        lines = policy_differences(wanted, live)
        seen = f"{path}?if_seq_no={live['_seq_no']}&if_primary_term={live['_primary_term']}"
        return [(Difference(what, "differs", lines), lambda _: self._ask("PUT", seen, wanted))] if lines else []

    def _template(self, ism: bool, serverless: bool) -> list[tuple[Difference, _Act | None]]:
        name = self._spec.template
        what, path = f"index template {name}", f"/_index_template/{quote(name, safe='')}"
        wanted = index_template(self._spec, ism=ism, serverless=serverless)

        def put(create: bool) -> Response:
            return self._ask("PUT", f"{path}?create=true" if create else path, wanted)

        response = self._ask("GET", path)
        if response.status == 404:
            return [(Difference(what, "missing"), put)]
        if (refused := _refused(what, response)) is not None:
            return [(refused, None)]
        (live,) = orjson.loads(response.text)["index_templates"]
        lines = template_differences(wanted, live["index_template"])
        return [(Difference(what, "differs", lines), put)] if lines else []

    def _first_index(self) -> list[tuple[Difference, _Act | None]]:
        spec = self._spec
        if spec.kind != "alias":
            return []
        what, path = f"alias {spec.target}", f"/{quote(spec.first_index, safe='')}"
        response = self._ask("GET", f"/_alias/{quote(spec.target, safe='')}")
        if response.status == 404:
            if self._ask("HEAD", f"/{quote(spec.target, safe='')}").status == 200:
                return [(Difference(what, "blocked", [f"an index of the name {spec.target} is in its way"]), None)]
            wanted = {"aliases": {spec.target: {"is_write_index": True}}}
            return [(Difference(what, "missing"), lambda _: self._ask("PUT", path, wanted))]
        if (refused := _refused(what, response)) is not None:
            return [(refused, None)]
        indices = orjson.loads(response.text)
        if len(indices) > 1 and not any(
            each["aliases"][spec.target].get("is_write_index") for each in indices.values()
        ):
            return [(Difference(what, "blocked", [f"none of {', '.join(sorted(indices))} is its write index"]), None)]
        return []

    def _ask(self, method: str, path: str, body: Any = None) -> Response:
        seconds = min(_SECONDS, self._deadline - self._clock())
        if seconds <= 0:
            raise Unreachable("no time left to prepare the cluster")
        response = self._wire.request(method, path, None if body is None else orjson.dumps(body), seconds)
        if response.status in (408, 429) or response.status >= 500:
            raise Unreachable(whole(response.text, response.status).message)
        return response


def _remark(difference: Difference) -> str:
    if difference.state != "differs":
        return str(difference)
    return (
        f"{difference.what} is not what the pipeline wants and is left as it is:"
        " `aetherstream opensearch setup` shows the differences and can apply them"
    )


_Act = Callable[[bool], Response]
"""Settles a difference; whether it may only create."""


def _good(response: Response) -> bool:
    return 200 <= response.status < 300


def _refused(what: str, response: Response) -> Difference | None:
    return None if _good(response) else Difference(what, "forbidden", [whole(response.text, response.status).message])
