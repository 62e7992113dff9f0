"""The jars of the OpenSearch server, each exactly the one whose SHA-256 sum stands in `opensearch_jars.lock`.

They are downloaded once per user and checked whenever they are used. Nothing is resolved here: the lock names every
jar, so what a repository says of their dependencies decides nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aetherstream.errors import UsageError

LOCK = Path(__file__).with_name("opensearch_jars.lock")
PARALLEL = 8
TRIES = 2


class OpenSearchUnavailable(UsageError):
    """The server can't be had on this machine now; the message says why, in one sentence."""


@dataclass(frozen=True, slots=True)
class Jar:
    """A jar of the lock."""

    coordinates: str
    """`group:artifact:version`."""
    sha256: str

    @property
    def filename(self) -> str:
        """Name of the file."""
        _group, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"


Download = Callable[[Jar, Path], Path]
"""Fetches a jar into a directory, says where it lies there, and raises OSError or RuntimeError where it can't."""


def locked(lock: Path = LOCK) -> list[Jar]:
    """The jars that the lock names."""
    lines = (line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#"))
    return [Jar(coordinates, sha256) for sha256, coordinates in lines]


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Where this user's downloads are kept: the XDG base directory specification's place for a cache."""
    base = environ.get("XDG_CACHE_HOME")
    home = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return home / "aetherstream" / "opensearch"


def provide(jars: Iterable[Jar], cache: Path, download: Download, say: Callable[[str], None]) -> list[Path]:
    """The jars' files in the cache, those that were missing downloaded; two processes may do this at once.

    Raises `OpenSearchUnavailable` where one can't be downloaded or written, or is not what the lock says.
    """
    wanted = list(jars)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _held(cache / "jars.lock"):
            missing = [jar for jar in wanted if not (cache / jar.filename).exists()]
            for abandoned in cache.glob("download-*"):
                shutil.rmtree(abandoned, ignore_errors=True)
            if missing:
                say(f"download OpenSearch ({len(missing)} jars, once)")
                _fetch(missing, cache, download)
        for jar in wanted:
            _check(jar, cache / jar.filename, f"remove {cache} and start again")
    except OSError as error:
        raise OpenSearchUnavailable(f"the jars of OpenSearch can't be kept in {cache}: {error}") from error
    return [cache / jar.filename for jar in wanted]


def from_repository(repositories: Mapping[str, str] | None = None) -> Download:
    """Downloads from Maven Central by jgo. `repositories` (URL by name) are asked instead.

    Repositories of jgo's own settings file are asked first, which is where a company names its mirror.
    """
    try:
        from jgo.config import GlobalSettings
        from jgo.maven import MavenContext
    except ImportError as error:
        raise OpenSearchUnavailable("the package jgo is not installed: pip install 'aetherstream[local]'") from error
    context = MavenContext(remote_repos=dict(repositories) if repositories is not None else None)
    if repositories is None:
        context.remote_repos = {**GlobalSettings.load().repositories, **context.remote_repos}

    def download(jar: Jar, directory: Path) -> Path:
        mine = MavenContext(repo_cache=directory, remote_repos=context.remote_repos)
        path: Path = mine.create_dependency(jar.coordinates).artifact.resolve()
        return path

    return download


def _fetch(jars: list[Jar], cache: Path, download: Download) -> None:
    def fetch(jar: Jar) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                with tempfile.TemporaryDirectory(dir=cache, prefix="download-") as scratch:
                    path = download(jar, Path(scratch))
                    _check(jar, path, "a proxy may have answered in its place; try again, or from another network")
                    path.replace(cache / jar.filename)
            except (OSError, RuntimeError, OpenSearchUnavailable) as error:
                if attempt < TRIES:
                    continue
                if isinstance(error, OpenSearchUnavailable):
                    raise
                raise OpenSearchUnavailable(
                    f"{jar.coordinates} of the OpenSearch server can't be downloaded ({_short(error)}): "
                    "connect this machine to the network, or name an existing server in OPENSEARCH_URL"
                ) from error
            else:
                return

    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="jars") as pool:
        try:
            for _ in pool.map(fetch, jars):
                pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check(jar: Jar, path: Path, remedy: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != jar.sha256:
        raise OpenSearchUnavailable(
            f"{path.name} has the SHA-256 sum {found}, but the lock says {jar.sha256}: it is not used; {remedy}"
        )


@contextmanager
def _held(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _short(error: BaseException) -> str:
    """An error's last cause, without the layers of the HTTP client around it."""
    while isinstance(cause := error.args[0] if error.args else None, BaseException):
        error = cause
    reason = getattr(error, "reason", None)
    return str(reason if isinstance(reason, BaseException) else error)[:200]
