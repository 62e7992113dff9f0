from __future__ import annotations

from pathlib import Path

import pytest

from aetherstream.transforms.plugin import PluginError, load


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A package of a user, under a name of its own for each test."""
    name = f"user_{abs(hash(request.node.name))}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "steps.py").write_text("def good(event):\n    return event\n")
    (tmp_path / name / "broken.py").write_text("x = 1\ny = 1 / 0\n")
    (tmp_path / name / "syntax.py").write_text("def f(:\n")
    (tmp_path / name / "needs.py").write_text("import no_such_library_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def message(reference: str) -> str:
    with pytest.raises(PluginError) as caught:
        load(reference)
    return str(caught.value)


def test_a_function_is_loaded(package: str) -> None:
    assert load(f"{package}.steps:good")({"a": 1}) == {"a": 1}


def test_a_module_that_is_not_there_names_its_neighbour_and_where_it_was_looked_for(
    package: str, tmp_path: Path
) -> None:
    text = message(f"{package}.stesp:good")
    assert text.startswith(f"there is no module '{package}.stesp' beside it (did you mean 'steps'?); looked in ")
    assert str(tmp_path) in text


def test_a_package_that_is_not_there_names_a_close_one(package: str) -> None:
    assert message(f"{package}x.steps:good").startswith(
        f"there is no module '{package}x.steps' (did you mean '{package}'?); looked in "
    )


def test_a_function_that_is_not_there_names_a_close_one(package: str) -> None:
    assert message(f"{package}.steps:god") == f"{package}.steps has no function 'god' (did you mean 'good'?)"


def test_an_import_that_fails_shows_the_line(package: str) -> None:
    assert message(f"{package}.broken:f") == (
        f"{package}.broken cannot be imported: ZeroDivisionError: division by zero (broken.py, line 2)"
    )


def test_a_syntax_error_shows_the_line(package: str) -> None:
    text = message(f"{package}.syntax:f")
    assert text.startswith(f"{package}.syntax cannot be imported: SyntaxError: ")
    assert text.endswith("(syntax.py, line 1)")


def test_a_library_that_the_module_lacks_is_named(package: str) -> None:
    assert message(f"{package}.needs:f") == (
        f"{package}.needs imports 'no_such_library_at_all', which is not there: add it to the requirements"
    )


def test_a_reference_without_a_function_shows_how_it_is_written() -> None:
    assert message("steps") == "'steps': write module:function, for example pipelines.steps:known_carrier"
