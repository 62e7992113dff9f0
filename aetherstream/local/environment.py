"""What the one-machine stack needs of the machine, and the environment in which its parts run.

The parts see dummy credentials and one endpoint, and nothing of the caller's AWS configuration: a profile, a real key
or a service's own endpoint in the shell never leaks into the stack, and nothing here can reach an AWS account.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config

from aetherstream.errors import UsageError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

LOOPBACK = "127.0.0.1"
REGION = "us-east-1"
KEY = "test"
"""Both halves of the dummy credentials."""
FREE_DISK_BYTES = 1_000_000_000
"""What a start asks for: the built package, its copy in the emulated S3, an unpacked copy per worker, the data."""

_CONFIG = Config(
    connect_timeout=5,
    read_timeout=930,  # AWS: a function may run for 900 s
    retries={"total_max_attempts": 1},
    max_pool_connections=64,
)


def credentials(endpoint: str, region: str = REGION) -> dict[str, str]:
    """The variables with which boto3, the AWS CLI and sam talk to `endpoint` and to nothing else."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": KEY,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
    }


def clean_environment(surroundings: Mapping[str, str] | None = None) -> dict[str, str]:
    """`surroundings` (default: this process's) without AWS settings, and with this Python's tools first on PATH.

    `AWS_CA_BUNDLE` stays, since pip behind a company's proxy may need it during the build.
    """
    source = os.environ if surroundings is None else surroundings
    kept = {
        name: value
        for name, value in source.items()
        if not name.startswith(("AWS_", "SAM_")) or name == "AWS_CA_BUNDLE"
    }
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), source.get("PATH", os.defpath)])
    return kept


def find_tool(name: str, *, package: str) -> str:
    """The path of a command that stands beside this Python or on PATH.

    Raises `UsageError` that names the package to install.
    """
    found = shutil.which(name, path=clean_environment()["PATH"])
    if found is None:
        raise UsageError(
            f"the one-machine stack needs the command `{name}`, which is neither beside {sys.executable} nor on PATH: "
            f"install it with `{sys.executable} -m pip install 'aetherstream[local]'` (package {package})"
        )
    return found


def check_disk(directory: Path, needed: int = FREE_DISK_BYTES) -> None:
    """Raise `UsageError` when the file system of `directory` has less than `needed` bytes free."""
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise UsageError(
            f"{directory} has {free / 1e6:.0f} MB free and the one-machine stack needs {needed / 1e6:.0f} MB: "
            "free some space, or name a directory on another disk with --state-dir"
        )


def choose_port(wanted: int = 0) -> int:
    """`wanted` if nobody listens there, or a free port for 0. Raises `UsageError` when it is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except OSError as error:
            raise UsageError(
                f"port {wanted} on {LOOPBACK} can't be used ({error.strerror}): stop what listens there, "
                "choose another with --port, or leave --port out for a free one"
            ) from error
        return int(probe.getsockname()[1])


class Clients:
    """boto3 clients of one endpoint, made on first use. Thread-safe once made; `get` is called from one thread."""

    def __init__(self, endpoint: str, region: str = REGION) -> None:
        self.endpoint = endpoint
        self.region = region
        nothing = (None, None, None, None)
        core = botocore.session.Session(
            {"profile": nothing, "config_file": (None, None, os.devnull, None), "credentials_file": nothing}
        )
        self.session = boto3.Session(
            aws_access_key_id=KEY, aws_secret_access_key=KEY, region_name=region, botocore_session=core
        )
        self._made: dict[str, Any] = {}

    def get(self, service: str) -> Any:
        """The client of `service`; requests are not retried, a function may take its 900 s."""
        if service not in self._made:
            make: Any = self.session.client  # the stubs know services by literal name only
            self._made[service] = make(service, endpoint_url=self.endpoint, config=_CONFIG)
        return self._made[service]

    @property
    def cloudformation(self) -> CloudFormationClient:
        """CloudFormation of the stack."""
        client: CloudFormationClient = self.get("cloudformation")
        return client

    @property
    def kinesis(self) -> KinesisClient:
        """Kinesis of the stack."""
        client: KinesisClient = self.get("kinesis")
        return client

    @property
    def lambda_(self) -> LambdaClient:
        """Lambda of the stack."""
        client: LambdaClient = self.get("lambda")
        return client

    @property
    def s3(self) -> S3Client:
        """S3 of the stack."""
        client: S3Client = self.get("s3")
        return client

    @property
    def sqs(self) -> SQSClient:
        """SQS of the stack."""
        client: SQSClient = self.get("sqs")
        return client
