"""The process of the stand-in: `python -m aetherstream.local.redshift.serve SETTINGS`, until SIGTERM.

SETTINGS is a file that `LocalRedshift` writes. The port stands in the file that it names as `ready` once clients are
taken. When the embedded server ends on its own, so does this process.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.config import Config

from aetherstream.errors import UsageError
from aetherstream.local.environment import REGION, Clients
from aetherstream.local.redshift.carry import Carrier
from aetherstream.local.redshift.front import Front
from aetherstream.local.redshift.postgres import Postgres

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def s3_client(endpoint: str, region: str = REGION) -> S3Client:
    """S3 at `endpoint`, asked again where a connection breaks, as Redshift asks S3."""
    retrying = Config(
        connect_timeout=5,
        read_timeout=60,
        retries={"total_max_attempts": 5, "mode": "standard"},
        max_pool_connections=32,
    )
    return Clients(endpoint, region).session.client("s3", endpoint_url=endpoint, config=retrying)


def main(settings_path: str) -> int:
    """Serve; the exit code is 0 when it was told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    settings = json.loads(Path(settings_path).read_text())
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the parent's to handle
    postgres = Postgres(
        Path(settings["data"]),
        user=settings["user"],
        password=settings["password"],
        database=settings["database"],
        isolation=settings["isolation"],
    )
    front: Front | None = None
    try:
        postgres.start()
        carrier = Carrier(postgres, s3_client(settings["s3_endpoint"], settings["region"]))
        front = Front(postgres, carrier)
        port = front.start(settings["port"])
        ready = Path(settings["ready"])
        fresh = ready.with_suffix(".new")
        fresh.write_text(str(port))
        fresh.replace(ready)
        while not told.wait(0.2):
            if postgres.pid is None:
                logging.error("the embedded PostgreSQL has ended")
                return 1
    except (UsageError, OSError) as error:
        logging.error("%s", error)  # noqa: TRY400 (for a person; where it was raised says nothing)
        return 1
    finally:
        if front is not None:
            front.stop()
        postgres.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
