"""The reader of long bodies agrees with the standard parser, whatever the body is."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.sandbox.structure import NotJson, Range, read_structure

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def resolve(value: Any, body: bytes) -> Any:
    if isinstance(value, Range):
        return value.text(body)
    if isinstance(value, list):
        return [resolve(item, body) for item in value]
    if isinstance(value, dict):
        return {name: resolve(item, body) for name, item in value.items()}
    return value


@given(value=JSON, ascii_only=st.booleans())
def test_every_value_comes_back(value, ascii_only):
    body = json.dumps([value], ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        body.decode()
    except UnicodeDecodeError:
        return
    (read,) = read_structure(body, long=10**9)
    assert read == value


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]))), st.booleans())
def test_strings_that_are_cut_out_come_back(texts, ascii_only):
    """Quotes, backslashes at the end, escapes: where a literal ends is found as the parser finds it."""
    body = json.dumps(texts, ensure_ascii=ascii_only).encode()
    assert resolve(read_structure(body, long=0), body) == texts


@given(
    st.binary() | st.text().map(lambda text: text.encode("utf-8", "replace")), st.sampled_from([0, 5, 10**9])
)
def test_no_body_makes_anything_but_a_value_or_a_refusal(body, long):
    try:
        resolve(read_structure(body, long), body)
    except NotJson:
        return


@given(st.text(alphabet='"\\/nu0a{}[]:, ', max_size=40))
def test_what_the_parser_refuses_is_refused(text):
    body = text.encode()
    try:
        expected = json.loads(text, parse_constant=pytest.fail)
    except ValueError:
        with pytest.raises(NotJson):
            read_structure(body, long=10**9)
    else:
        assert read_structure(body, long=10**9) == expected


@given(st.binary(max_size=64), st.integers(0, 3))
def test_base64_with_escaped_slashes_is_whole_in_its_blocks(data, seed):
    """PHP writes `\\/`; a block's end may fall between the two."""
    text = "/" * seed + base64.b64encode(data).decode()
    body = ('"' + text.replace("/", "\\/") + '"').encode()
    found = Range(1, len(body) - 1)
    for size in (4, 8, 12):
        blocks = list(found.blocks(body, size))
        assert b"".join(blocks).decode() == text
        assert all(len(block) % 4 == 0 for block in blocks[:-1])
