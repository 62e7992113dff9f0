import base64
import gzip
import json

import pytest

from scripts import make_events
from tests.deployment.cloudformation import ROOT


@pytest.mark.parametrize("name", make_events.EVENTS)
def test_a_sample_event_is_what_its_script_makes(name: str) -> None:
    assert (ROOT / "events" / name).read_text() == make_events.text(make_events.EVENTS[name]())


def test_no_sample_event_lacks_its_script_or_its_line_in_the_readme() -> None:
    readme = (ROOT / "events/README.md").read_text()
    files = {path.name for path in (ROOT / "events").glob("*.json")}
    assert files == set(make_events.EVENTS)
    assert [name for name in sorted(files) if f"| `{name}` |" not in readme] == []


def test_the_gzip_event_decompresses_to_its_flight() -> None:
    [first, *_] = json.loads((ROOT / "events/gzip.json").read_text())["Records"]
    assert json.loads(gzip.decompress(base64.b64decode(first["kinesis"]["data"]))) == make_events.flight(0)
