"""Cold start: importing the handler's module beside importing what any handler of its kind imports."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

FLOOR = "import boto3; boto3.client('s3')\nfrom aws_lambda_powertools import Logger, Metrics; Logger(); Metrics()"
HANDLER = "import handlers.stream"


class _YesToAll(BaseHTTPRequestHandler):
    """Stands for S3: the handler asks at its start whether its bucket is there."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def measure(rounds: int) -> list[dict[str, Any]]:
    """Time both, each in a fresh interpreter, a bare interpreter's start subtracted; the page cache is warm."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _YesToAll) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            return _measure(rounds, f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()


def _measure(rounds: int, endpoint: str) -> list[dict[str, Any]]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "POWERTOOLS_SERVICE_NAME": "bench",
        "POWERTOOLS_METRICS_NAMESPACE": "bench",
        "AETHERSTREAM_PIPELINE": "pipelines/flights.yaml",
        "AETHERSTREAM_BUCKET": "bench-archive",
        "AETHERSTREAM_PROGRESS_TABLE": "bench",
        "AETHERSTREAM_STATE_TABLE": "bench",
        "AWS_ENDPOINT_URL": endpoint,
    }
    seconds: dict[str, list[float]] = {"bare": [], "cold-floor": [], "cold-handler": []}
    for _ in range(rounds):
        for name, code in (("bare", "pass"), ("cold-floor", FLOOR), ("cold-handler", HANDLER)):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=ROOT)
            seconds[name].append(time.perf_counter() - started)
    notes = {
        "cold-floor": "import boto3, an S3 client, Powertools' Logger and Metrics",
        "cold-handler": "import handlers.stream: all of that, DynamoDB, the pipeline compiled",
    }
    over = {name: [t - bare for t, bare in zip(times, seconds["bare"], strict=True)] for name, times in seconds.items()}
    return [
        {
            "name": name,
            "ms": round(statistics.median(over[name]) * 1000, 1),
            "times_floor": round(
                statistics.median(a / b for a, b in zip(over[name], over["cold-floor"], strict=True)), 2
            ),
            "records": 0,
            "note": note,
        }
        for name, note in notes.items()
    ]
