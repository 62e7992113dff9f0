from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from .support import SECRETS, mistakes, run

KEY = SECRETS["HASH_KEY"].encode()


@pytest.mark.parametrize(
    ("options", "value", "result"),
    [
        ({"text": "[removed]"}, "secret", "[removed]"),
        ({"text": ""}, {"a": "secret"}, ""),
        ({"keep_last": 4}, "4111111111111111", "************1111"),
        ({"keep_last": 4}, 123456, "**3456"),
        ({"keep_last": 4}, "1234", "****"),
        ({"email": True}, "jane@example.com", "j***@example.com"),
        ({"email": True}, "a@b@example.com", "a***@example.com"),
        ({"email": True}, "no address", "***"),
        ({"email": True}, "@example.com", "***"),
        ({"email": True}, None, None),
    ],
)
def test_mask_hides(options: dict[str, Any], value: Any, result: Any) -> None:
    assert run([{"mask": {"fields": ["x"], **options}}], {"x": value}).values == [{"x": result}]


@pytest.mark.parametrize("options", [{"keep_last": 2}, {"email": True}])
@pytest.mark.parametrize("value", [["jane@example.com"], {"a": "jane@example.com"}, 1.5, True])
def test_what_cannot_be_masked_does_not_pass_and_is_not_shown(options: dict[str, Any], value: Any) -> None:
    result = run([{"mask": {"fields": ["x"], **options}}], {"x": value})
    assert (result.values, result.rejected) == ([], [(0, "transforms[0].mask", "x cannot be masked")])
    assert result.messages == ["x cannot be masked: it is no text (its value is not shown)"]


def test_mask_takes_exactly_one_way() -> None:
    message = "say one of text, keep_last and email, not"
    assert mistakes({"mask": {"fields": ["x"]}}, {"mask": {"fields": ["x"], "text": "", "keep_last": 1}}) == [
        f"transforms[0].mask: {message} none",
        f"transforms[1].mask: {message} text and keep_last",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [("Jane", "Jane"), ("ü", "ü"), (7, "7"), (True, "true"), ([1, "a"], '[1,"a"]')]
)
def test_hash_is_the_hmac_of_the_text(value: Any, text: str) -> None:
    expected = hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()
    result = run([{"hash": {"fields": ["x"], "key_env": "HASH_KEY"}}], {"x": value})
    assert result.values == [{"x": expected}]


def test_hash_leaves_null_and_absent_fields() -> None:
    assert run([{"hash": {"fields": ["x"], "key_env": "HASH_KEY"}}], {"x": None}, {}).values == [{"x": None}, {}]


def test_a_key_that_is_not_there_is_a_mistake_that_shows_no_key() -> None:
    (mistake,) = mistakes({"hash": {"fields": ["x"], "key_env": "HASHKEY"}})
    said = (
        "transforms[0].hash.key_env: the environment variable HASHKEY is not set (did you mean 'HASH_KEY'?): give the "
    )
    assert mistake == f"{said}function its key, for example from Secrets Manager"
