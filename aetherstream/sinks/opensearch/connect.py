"""From options to a sink that is connected.

The only module that imports the client: opensearch-py costs a cold start (docs/adr/0016-opensearch-client.md), so only
pipelines that have such a sink come here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aetherstream.errors import ConfigurationError
from aetherstream.sinks.opensearch.client import Client, SecretUser, Signer, basic, sigv4
from aetherstream.sinks.opensearch.options import OpenSearchOptions
from aetherstream.sinks.opensearch.setup import Setup
from aetherstream.sinks.opensearch.sink import OpenSearchSink

if TYPE_CHECKING:
    from boto3 import Session

_log = logging.getLogger(__name__)

_BRIEF: dict[str, Any] = {"connect_timeout": 2, "read_timeout": 3, "retries": {"total_max_attempts": 2}}
"""botocore waits for minutes by default: in a VPC without a way to the service, longer than any batch has."""


def connect(
    options: OpenSearchOptions,
    session: Session,
    warn: Callable[[str], object] = _log.warning,
) -> OpenSearchSink:
    """Make the sink; nothing is asked of the cluster yet. `warn` is told what its first write finds.

    Raises ConfigurationError for an endpoint or a way of entering that can't be.
    """
    client = client_of(options, session)
    return OpenSearchSink(
        options.name,
        client,
        documents=options.documents,
        bytes=options.bytes,
        parallel=options.parallel,
        prepare=setup_of(options, session, client).first_run,
        require_alias=options.spec.kind == "alias",
        warn=lambda text: warn(f"sink {options.name}: {text}"),
    )


def setup_of(options: OpenSearchOptions, session: Session, client: Client | None = None) -> Setup:
    """Make what checks and applies the sink's template, policy and first index."""
    collection = (lambda: collection_type(options, session)) if options.auth == "aoss" else None
    return Setup(client or client_of(options, session), options.spec, collection)


def client_of(options: OpenSearchOptions, session: Session) -> Client:
    """Make the connection to the cluster; nothing is sent yet. Raises ConfigurationError."""
    return Client(
        options.endpoint, sign=_signer(options, session), parallel=options.parallel, compress=options.compress
    )


def collection_type(options: OpenSearchOptions, session: Session) -> str | None:
    """Ask for the type of a Serverless collection; None where the role may not ask, or its name does not tell.

    AWS: endpoints of collections are `https://<id>.<region>.aoss.amazonaws.com`.
    """
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    identifier, _, rest = (urlsplit(options.endpoint).hostname or "").partition(".")
    if ".aoss." not in f".{rest}":
        return None
    try:
        serverless = session.client("opensearchserverless", region_name=options.region, config=Config(**_BRIEF))
        found = serverless.batch_get_collection(ids=[identifier])["collectionDetails"]
    except (BotoCoreError, ClientError):
        return None
    return found[0].get("type") if found else None


def _signer(options: OpenSearchOptions, session: Session) -> Signer | None:
    if options.auth == "none":
        return None
    if options.auth == "basic":
        return _user(options, session)
    credentials, region = session.get_credentials(), options.region or session.region_name
    if credentials is None or not region:
        missing = "credentials" if credentials is None else "a region"
        raise ConfigurationError(f"sink {options.name}: auth {options.auth} needs {missing} of AWS")
    return sigv4(credentials, region, options.auth)


def _user(options: OpenSearchOptions, session: Session) -> Signer:
    if options.secret:
        from botocore.config import Config

        secret = options.secret
        manager = session.client("secretsmanager", region_name=options.region, config=Config(**_BRIEF))
        return SecretUser(lambda: manager.get_secret_value(SecretId=secret)["SecretString"])
    if options.username is None or options.password is None:
        raise ConfigurationError(f"sink {options.name}: auth basic needs `secret`, or `username` and `password`")
    return basic(options.username, options.password)
