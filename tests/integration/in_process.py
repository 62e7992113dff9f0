"""Polls a stream with the handler in this process, as `source` of a Stack does; run by the test of that mode.

python -m tests.integration.in_process ENDPOINT FUNCTION_ARN STREAM_ARN SOURCE
"""

from __future__ import annotations

import sys
from pathlib import Path

from aetherstream.local.destinations import Destinations
from aetherstream.local.environment import Clients
from aetherstream.local.esm.settings import MappingSettings
from aetherstream.local.invoke import in_process
from aetherstream.local.poller import Poller
from aetherstream.local.shards import source_of


def main(endpoint: str, function_arn: str, stream_arn: str, source: str) -> None:
    """Process what is on the stream; print how many records that were, and how many invocations failed."""
    clients = Clients(endpoint)
    settings = MappingSettings(
        stream_arn=stream_arn,
        function_arn=function_arn,
        batch_size=10_000,
        batching_window=1,
        report_batch_item_failures=True,
    )
    invoker = in_process(clients, function_arn, Path(source))
    with Poller(settings, source=source_of(clients, stream_arn), invoker=invoker, send=Destinations(clients)) as poller:
        progress = poller.drain(60)
    sys.stdout.write(f"{progress.finished} {progress.failed}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
