import pytest

from aetherstream.pipeline import values


@pytest.mark.parametrize(
    ("text", "expected"),
    [(1000, 1000), ("1000", 1000), ("32MB", 32_000_000), ("32 MiB", 33_554_432), ("2K", 2000), ("1GiB", 1 << 30)],
)
def test_a_size_is_a_number_of_bytes(text: int | str, expected: int) -> None:
    assert values.size(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (90, 90.0),
        ("90s", 90.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("500ms", 0.5),
        ("30d", 2_592_000.0),
        ("1.5h", 5400.0),
        ("1w", 604800.0),
    ],
)
def test_a_duration_is_a_number_of_seconds(text: int | str, expected: float) -> None:
    assert values.duration(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("-5h", -18_000.0), ("1h30m", 5400.0), (-60, -60.0), ("-1.5s", -1.5)])
def test_a_shift_is_a_duration_that_may_be_negative(text: int | str, expected: float) -> None:
    assert values.shift(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2013-01-01", 1356998400.0),
        ("2013-01-01T10:00:00Z", 1357034400.0),
        ("2013-01-01 10:00:00", 1357034400.0),
        ("2013-01-01T10:00:00+02:00", 1357027200.0),
    ],
)
def test_an_instant_is_utc_unless_it_names_a_zone(text: str, expected: float) -> None:
    assert values.instant(text) == expected


@pytest.mark.parametrize("text", ["", "MB", "3X", "-1", "1.5MB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        values.size(text)


@pytest.mark.parametrize("text", ["", "h", "1 fortnight", "-1h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        values.duration(text)


@pytest.mark.parametrize("text", ["2013-13-01", "2013-02-30", "yesterday", "2013-01-01T25:00:00Z"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no date or timestamp"):
        values.instant(text)
