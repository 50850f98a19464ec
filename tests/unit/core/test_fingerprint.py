from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from danlu.core.config import Config, NotFingerprinted, OptionalResource, Resource, resources
from danlu.core.fingerprint import digest, fingerprint, plain

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


class Inner(Config):
    path: Resource = Field(description="A file.")
    rows: int = Field(3, description="Rows.")


class Outer(Config):
    sources: list[Inner] = Field(description="Files.")
    base: OptionalResource = Field(None, description="A base.")
    cap: Annotated[float | None, NotFingerprinted()] = Field(None, description="Hours.")


def print_of(config: Outer, resources: dict[str, str], **changes: Any) -> str:
    values: dict[str, Any] = {"stage": "s", "version": 1, "inputs": {"a": "1"}, "environment": {"torch": "2"}}
    return fingerprint(config=config, resources=resources, **(values | changes))


@given(json_values)
def test_equal_values_have_equal_digests_whatever_their_key_order(value: Any) -> None:
    def reverse(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: reverse(item[key]) for key in reversed(list(item))}
        return [reverse(inner) for inner in item] if isinstance(item, list) else item

    assert digest(value) == digest(reverse(value))


@given(json_values, json_values)
def test_different_values_have_different_digests(one: Any, other: Any) -> None:
    if repr(plain(one)) != repr(plain(other)):
        assert digest(one) != digest(other)


@pytest.mark.parametrize("value", [{1, 2}, print, object(), float("nan"), float("inf"), {1: "a"}, b"bytes"])
def test_what_has_no_one_spelling_raises(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        digest({"inner": [value]})


def test_content_counts_and_paths_and_caps_do_not() -> None:
    here = Outer(sources=[Inner(path="a.csv")])
    there = Outer(sources=[Inner(path="/elsewhere/b.csv")], cap=3.0)
    assert resources(here) == {"sources[0].path": "a.csv"}
    same = {"sources[0].path": "abc"}
    assert print_of(here, same) == print_of(there, same)
    assert print_of(here, same) != print_of(here, {"sources[0].path": "abd"})
    with pytest.raises(TypeError, match=r"sources\[0\].path"):
        print_of(here, {})


@pytest.mark.parametrize(
    "change",
    [{"stage": "t"}, {"version": 2}, {"inputs": {"a": "2"}}, {"inputs": {"b": "1"}}, {"environment": {"torch": "3"}}],
)
def test_everything_that_matters_changes_it(change: dict[str, Any]) -> None:
    config, contents = Outer(sources=[Inner(path="a")]), {"sources[0].path": "abc"}
    assert print_of(config, contents) != print_of(config, contents, **change)
    assert print_of(config, contents) != print_of(Outer(sources=[Inner(path="a", rows=4)]), contents)


def test_a_field_without_a_description_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r"Bare\.field has no description"):

        class Bare(Config):
            field: int = 1
