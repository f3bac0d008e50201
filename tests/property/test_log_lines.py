"""Lines of JSON: any event can be read again, with its name, its level and its types."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.logs import _encode

TEXT = st.text(alphabet=st.characters())  # half surrogate pairs, too
VALUES = st.recursive(
    st.one_of(TEXT, st.integers(-(2**70), 2**70), st.none(), st.booleans(), st.binary(), st.floats()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.one_of(TEXT, st.integers()), inner)),
    max_leaves=6,
)


@given(st.dictionaries(TEXT.filter(lambda name: name not in {"event", "code"}), VALUES, max_size=5))
def test_any_event_is_one_line_of_json_with_its_name_and_code(fields: dict[str, object]) -> None:
    """A collector that goes by these two must never miss a line."""
    line = _encode({"event": "callback.refused", "code": 120100, **fields})
    assert b"\n" not in line
    read = json.loads(line)
    assert (read["event"], read["code"]) == ("callback.refused", 120100)
