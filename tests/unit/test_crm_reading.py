"""A fault script means what it says, and a bad one is explained in full."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.crm.reading import read_script
from gateway.crm.script import Latency, Lognormal, Rule, Script, ScriptError, Seconds, Shares

FULL = """
seed = 11

[[rules]]
path = "/orders/*"
after = "10s"
until = "20s"
latency = { lognormal = { median = "120ms", p95 = "400ms" } }
shares = { ok = 0.9, error = 0.05, hang = 0.05, reset = 1, garbage = 2, drip = 3, huge = 4 }
status = 500

[[rules]]
latency = { fixed = "0.5s" }
"""


def test_every_key_of_a_script_is_read() -> None:
    """A key that is accepted and then ignored would be worse than a fault."""
    lognormal = Lognormal(Seconds(0.12), Seconds(0.4))
    assert read_script(FULL) == Script(
        seed=11,
        rules=(
            Rule(
                path="/orders/*",
                after=Seconds(10),
                until=Seconds(20),
                latency=Latency(lognormal=lognormal),
                shares=Shares(ok=0.9, error=0.05, hang=0.05, reset=1, garbage=2, drip=3, huge=4),
                status=500,
            ),
            Rule(latency=Latency(fixed=Seconds(0.5))),
        ),
    )


def test_an_empty_script_has_no_rules_and_seed_seven() -> None:
    """The defaults are part of the documentation."""
    assert read_script("") == Script(seed=7, rules=())


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("seed = ", "not TOML: "),
        (b"seed = \xff", "not TOML: "),
        ("[" * 100_000, "not TOML: "),
        ("sede = 7", "script: unknown key 'sede'; known are seed, rules"),
        ("seed = 'x'", "seed: Expected `int`, got `str`"),
        ("seed = -1", "seed: Expected `int` >= 0"),
        ("rules = 3", "rules: Expected `array`, got `int`"),
        ("rules = { path = '*' }", "rules: Expected `array`, got `table`"),
        ("rules = [3]", "rules[0]: Expected `table`, got `int`"),
        ("[[rules]]\npath = 3", "rules[0].path: Expected `str`, got `int`"),
        ("[[rules]]\npath = 'orders'", "rules[0]: path 'orders' can match no call"),
        ("[[rules]]\nafter = '800'", "rules[0].after: '800' is not"),
        ("[[rules]]\nafter = 800", 'rules[0].after: Expected a duration such as "120ms", got `int`'),
        ("[[rules]]\nafter = '2s'\nuntil = '2s'", "rules[0]: until must be later than after"),
        ("[[rules]]\nstatus = 199", "rules[0].status: Expected `int` >= 200"),
        ("[[rules]]\nshares = { error = 1 }\nstatus = 399", "rules[0]: the status of an error must be 400"),
        (
            "[[rules]]\nbody = 'é'\ncharset = 'ascii'",
            "rules[0]: the body cannot be written in the charset 'ascii'",
        ),
        ("[[rules]]\ncharset = 'nonsense'", "rules[0]: the body cannot be written in the charset 'nonsense'"),
        ("[[rules]]\nlatency = '1s'", "rules[0].latency: Expected `table`, got `str`"),
        (
            "[[rules]]\nlatency = { lognormal = { median = '1s' } }",
            "rules[0].latency.lognormal: p95 is missing",
        ),
        (
            "[[rules]]\nlatency = { lognormal = { median = '2s', p95 = '1s' } }",
            "rules[0].latency.lognormal: the median must be",
        ),
        (
            "[[rules]]\nlatency = { fixed = '1s', lognormal = { median = '1s', p95 = '1s' } }",
            "rules[0].latency: give fixed or lognormal, not both",
        ),
        ("[[rules]]\nshares = { ok = 0.0 }", "rules[0].shares: at least one share must be above zero"),
        ("[[rules]]\nshares = { ok = inf }", "rules[0].shares: at least one share must be above zero"),
        ("[[rules]]\nshares = { ok = nan }", "rules[0].shares.ok: Expected `float` >= 0.0"),
        ("[[rules]]\nshares = { ok = 1, error = -1 }", "rules[0].shares.error: Expected `float` >= 0.0"),
        ("[[rules]]\nshares = { okay = 1 }", "rules[0].shares: unknown key 'okay'; known are ok, error,"),
    ],
)
def test_a_bad_script_is_refused_with_the_place_and_the_fault(text: str | bytes, fault: str) -> None:
    """The author of the script corrects it without reading this code."""
    with pytest.raises(ScriptError) as caught:
        read_script(text)
    assert caught.value.faults[0].startswith(fault)


def test_all_faults_are_named_at_once() -> None:
    """One round of corrections, not one for each mistake."""
    text = (
        "seed = 1.5\nx = 1\n[[rules]]\nshares = { ok = -1, hung = 1 }\n[[rules]]\nuntil = 'soon'\nstatus = 99"
    )
    with pytest.raises(ScriptError) as caught:
        read_script(text)
    places = sorted(fault.partition(":")[0] for fault in caught.value.faults)
    assert places == [
        "rules[0].shares",
        "rules[0].shares.ok",
        "rules[1].status",
        "rules[1].until",
        "script",
        "seed",
    ]
    assert str(caught.value) == "\n".join(caught.value.faults)


toml_values = st.recursive(
    st.sampled_from(["1", "-1", "0.5", "inf", "true", "'1s'", "''", "'/x'", "1979-05-27", f"1{'0' * 400}"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(
            st.sampled_from(
                ["path", "after", "until", "latency", "fixed", "lognormal", "median", "p95", "shares"]
            ),
            inner,
            max_size=3,
        ).map(lambda table: f"{{ {', '.join(f'{key} = {value}' for key, value in table.items())} }}")
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["seed", "rules", "path"]), toml_values).map(
        lambda table: "\n".join(f"{key} = {value}" for key, value in table.items())
    )
    | st.text()
)
def test_any_text_is_a_script_or_a_script_error(text: str) -> None:
    """A bad PUT gets its 400; nothing else may come out of the reader."""
    assert all(fault and "\n" not in fault for fault in _faults_of(text))


def _faults_of(text: str) -> tuple[str, ...]:
    try:
        read_script(text)
    except ScriptError as error:
        return error.faults
    return ()
