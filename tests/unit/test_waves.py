"""Lookups that read what others set are made after them, and no later than they must."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.declared.catalog import compile_catalog, read
from gateway.declared.waves import find_cycle, in_waves, needs_of
from tests.unit.test_checks import found

NAMES = "abcdef"
VARIABLES = [name.upper() for name in NAMES]


def test_each_lookup_comes_right_after_the_last_one_that_it_needs() -> None:
    """Lookups that do not need one another stay side by side."""
    reads = {"a": ["X"], "b": ["A"], "c": ["A", "B"], "d": []}
    sets = {"a": ["A"], "b": ["B"], "c": ["C"], "d": ["D"]}
    needs = needs_of("cbad", reads, sets)
    assert needs == {"a": [], "b": ["a"], "c": ["a", "b"], "d": []}
    assert list(in_waves("cbad", needs)) == [["a", "d"], ["b"], ["c"]]


def test_a_variable_of_its_own_is_no_need() -> None:
    """Such a lookup reads what the callback has, and brings it up to date."""
    assert needs_of("a", {"a": ["A"]}, {"a": ["A"]}) == {"a": []}


@given(
    st.dictionaries(
        st.sampled_from(NAMES), st.lists(st.sampled_from([*VARIABLES, "X"]), max_size=3), min_size=1
    )
)
def test_waves_are_an_order_or_there_is_a_cycle(reads: dict[str, list[str]]) -> None:
    """Each comes after all that it needs, and one wave after the last of them; or a real cycle is named."""
    lookups = list(reads)
    needs = needs_of(lookups, reads, {name: [name.upper()] for name in lookups})
    if cycle := find_cycle(lookups, needs):
        assert cycle[0] == cycle[-1]
        assert all(one in needs[other] for one, other in pairwise(cycle))
        return
    waves = list(in_waves(lookups, needs))
    number = {name: at for at, wave in enumerate(waves) for name in wave}
    assert sorted(number) == sorted(lookups)
    for name in lookups:
        assert number[name] == max((number[one] + 1 for one in needs[name]), default=0)
    assert all(wave == [name for name in lookups if name in wave] for wave in waves)


ROUTE = """
[backends.crm]
url = "http://crm"
[[routes]]
lookups = ["orders", "find"]
[lookups.orders]
backend = "crm"
request = { path = "/orders/{customer_id}" }
variables = { status = "status" }
[lookups.find]
backend = "crm"
request = { path = "/find/{phone}" }
variables = { customer_id = "id" }
internal = ["customer_id"]
"""


def test_a_route_has_its_waves() -> None:
    """In the order of the file the needy one comes first."""
    (route,) = compile_catalog(*read(ROUTE, {})).routes
    assert [[lookup.name for lookup in wave] for wave in route.waves] == [["find"], ["orders"]]
    assert [lookup.name for lookup in route.lookups] == ["orders", "find"]
    assert route.internal == {"customer_id"}


def test_a_circle_is_a_fault_that_names_it() -> None:
    """Nobody could begin. A condition is a need as well."""
    for other in (
        'request = { path = "/find/{status}" }',
        'when = { status = "*" }\nrequest = { path = "/f" }',
    ):
        (fault,) = found(ROUTE.replace('request = { path = "/find/{phone}" }', other))
        assert fault.path == "routes[0].lookups"
        circle = fault.message.partition(": ")[2].split(" → ")
        assert (len(circle), circle[0]) == (3, circle[-1])
        assert set(circle) == {"find", "orders"}


def test_what_is_internal_must_be_set_by_the_lookup() -> None:
    """A typing error would tell what was to be kept back."""
    (fault,) = found(ROUTE.replace('internal = ["customer_id"]', 'internal = ["customerid"]'))
    assert (fault.path, "did you mean 'customer_id'?" in fault.message) == ("lookups.find.internal", True)
