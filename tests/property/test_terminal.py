"""Text for a terminal: whatever came from outside, nothing of it is obeyed, and nothing readable is lost."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.terminal import TerminalLine, printable

VALUES = st.recursive(
    st.one_of(st.text(), st.integers(), st.none(), st.floats(), st.binary()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=5,
)


@given(st.text())
def test_what_is_shown_is_visible(text: str) -> None:
    """Neither a control character, nor one that turns the direction of the line."""
    shown = printable(text)
    assert shown.isprintable()
    visible = [one for one in text if one.isprintable()]
    found = iter(shown)
    assert all(one in found for one in visible)


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"])))
def test_visible_text_stays_as_it_is(text: str) -> None:
    """Names in any script are there to be read."""
    assert printable(text) == text


# structlog has its own use for these names; no event has a field of such a name.
TAKEN = {"exception", "exc_info", "stack", "stack_info", "level"}
NAMES = st.text(min_size=1).filter(lambda name: name not in TAKEN)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_line_has_no_character_that_a_terminal_obeys(fields: dict[str, object]) -> None:
    """Keys and values, nested ones, too."""
    line = TerminalLine(colors=False)(None, "info", {"event": "e", "level": "info", **fields})
    assert line.isprintable()
