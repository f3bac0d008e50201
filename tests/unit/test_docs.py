"""The documents are right: settings, codes, events, limits, links, commands and the map of the code."""

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import click
import msgspec
import pytest

from gateway.cli import main
from gateway.core.errors import BackendDenied, Code, DeskgateError, Refusal
from gateway.declared.catalog import Config, compile_catalog, read
from gateway.declared.place import KINDS
from gateway.declared.reading import parse
from gateway.declared.request import RequestTable
from gateway.declared.tokens import LoginAuth
from gateway.front.ladder import Source
from gateway.lookup import Ask, NotFound
from gateway.lookups.answers import Response, interpret
from gateway.lookups.client import ClientResponse
from gateway.lookups.reply import Finding
from gateway.wire.keys import Keys
from tests.desk import ROOT
from tests.documents import ARCHITECTURE, DOCUMENTS, MANUAL, README, blocks, table

SOURCES = [path for package in ("gateway", "workers") for path in sorted((ROOT / package).rglob("*.py"))]
LEVELS = {"_debug": "debug", "_info": "info", "_warning": "warning", "_error": "error", "Event": "any"}


def fields(struct: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:  # noqa: ANN401 - any Struct
    """Yield each setting: its place, its type, and its field; a struct's own fields stand for it."""
    if tag := struct.__struct_config__.tag_field:
        yield f"{place}{tag}", None, None
    hints = get_type_hints(struct)
    for field in msgspec.structs.fields(struct):
        hint = hints[field.name]
        if struct is LoginAuth and hint is RequestTable:  # as in a lookup: documented there
            yield f"{place}{field.encode_name}", hint, field
            continue
        inner = [kind for kind in (hint, *get_args(hint)) if hasattr(kind, "__struct_config__")]
        suffix = {dict: ".ID" if field.name == "apps" else ".NAME", tuple: "[n]"}.get(get_origin(hint), "")
        for kind in inner:
            yield from fields(kind, f"{place}{field.encode_name}{suffix}.")
        if not inner:
            yield f"{place}{field.encode_name}", hint, field


SETTINGS: dict[str, list[tuple[Any, Any]]] = {}
"""By its place the types and fields of a setting: tables of several kinds may have one of the same name."""

for place, hint, field in fields(Config):
    SETTINGS.setdefault(place, []).append((hint, field))


def test_every_setting_is_documented() -> None:
    """A setting that nobody finds is not there; one that is documented and not there costs an evening."""
    assert {row[0].strip("`") for row in table(MANUAL, "setting")} == set(SETTINGS)


@pytest.mark.parametrize("row", table(MANUAL, "setting"), ids=lambda row: row[0].strip("`"))
def test_documented_default_is_the_default(row: list[str]) -> None:
    """A user who leaves a setting out relies on this column."""
    default = row[1].strip("`")
    assert any(has_default(hint, field, default) for hint, field in SETTINGS[row[0].strip("`")])


def has_default(hint: Any, field: Any, default: str) -> bool:  # noqa: ANN401 - any type, a field of msgspec
    """True if a setting has the default that is documented."""
    if field is None:  # the tag that says which kind of table it is
        return default == '"none"'
    if default == "required":
        return bool(field.required)
    if default == "none":
        return not field.required and not field.default
    value = tomllib.loads(f"value = {default}")["value"]
    made = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    try:
        return bool(msgspec.convert(value, hint, dec_hook=parse) == made)
    except msgspec.ValidationError:
        return False


def test_every_code_is_documented_with_its_number_and_status() -> None:
    """Flows branch on the number, monitors on the status."""
    statuses = {error.code: error.status for error in Refusal.__subclasses__()} | {Code.INTERNAL: 500}
    documented = [(int(row[0]), row[1].strip("`"), int(row[2])) for row in table(MANUAL, "ErrorCode")]
    assert documented == [(int(code), code.name, statuses.get(code, 200)) for code in Code]


def test_codes_that_nothing_gives_are_marked_so() -> None:
    """Nobody should wait for a code that never comes, nor be surprised by one that does."""
    codes = {error.__name__: error.code for error in descendants(DeskgateError) if hasattr(error, "code")}
    given: set[Code] = set()
    for path in SOURCES:
        if path.name not in {
            "errors.py",
            "presentation.py",
            "story.py",
        }:  # where they are named, given or not
            given |= set(given_in(ast.parse(path.read_text(encoding="utf-8")), codes))
    rows = table(MANUAL, "ErrorCode")
    assert {int(row[0]) for row in rows if "not given yet" in row[3]} == set(Code) - given


def given_in(node: ast.AST, codes: Mapping[str, Code]) -> Iterator[Code]:
    """Yield the codes that a source gives, by name or by making an error; not those that it looks for.

    ``codes`` are those of the errors, by the names of their classes.
    """
    match node:
        case ast.Compare() | ast.Set():
            return
        case ast.Attribute(value=ast.Name(id="Code"), attr=name):
            yield Code[name]
        case ast.Call(func=ast.Name(id=name)) | ast.Raise(exc=ast.Name(id=name)) if name in codes:
            yield codes[name]
    for child in ast.iter_child_nodes(node):
        yield from given_in(child, codes)


def descendants(error: type[DeskgateError]) -> Iterator[type[DeskgateError]]:
    """Yield every class below ``error``."""
    for child in error.__subclasses__():
        yield child
        yield from descendants(child)


def events() -> Iterator[tuple[str, str, str]]:
    """Yield the function, the name and the level of every event."""
    for function in ast.parse((ROOT / "gateway/telemetry/events.py").read_text(encoding="utf-8")).body:
        for node in ast.walk(function):
            match node:
                case ast.Call(
                    func=ast.Name(id="Event"), args=[ast.Constant(str(name)), ast.Constant(str(level)), *_]
                ):
                    assert isinstance(function, ast.FunctionDef)
                    yield function.name, name, level
                case ast.Call(func=ast.Name(id=level), args=[ast.Constant(value=str(name)), *_]) if (
                    level in LEVELS
                ):
                    assert isinstance(function, ast.FunctionDef)
                    yield function.name, name, LEVELS[level]


def emitters(function: str) -> set[str]:
    """Return the packages that emit an event."""
    return {package for package, called in emitted() if called == function}


@cache
def emitted() -> set[tuple[str, str]]:
    """Return the packages, each with the functions of events that it calls."""
    call = re.compile(r"\bevents\.(\w+)\(")
    packages = [(path.relative_to(ROOT).parts[0], text) for path, text in source_texts().items()]
    return {(package, function) for package, text in packages for function in call.findall(text)}


@cache
def source_texts() -> dict[Path, str]:
    """Return the text of each of our files."""
    return {path: path.read_text("utf-8") for path in SOURCES}


def test_every_event_is_documented_with_its_level() -> None:
    """Alerts are built on these names."""
    documented = {(row[0].strip("`"), row[1]) for row in table(MANUAL, "event")}
    assert documented == {(name, level) for _, name, level in events()}


def test_an_event_is_named_like_its_function() -> None:
    """A search for a line's name finds its emitter."""
    assert {function for function, name, _ in events() if function != name.replace(".", "_")} == set()


def test_every_event_is_emitted_by_the_process_that_is_documented() -> None:
    """A reader who looks for a line must know in which output."""
    assert {name for function, name, _ in events() if not emitters(function)} == set()
    theirs = {name for function, name, _ in events() if emitters(function) == {"workers"}}
    assert {row[0].strip("`") for row in table(MANUAL, "event") if row[2] == "worker"} == theirs


def test_sources_are_documented_in_the_order_of_the_ladder() -> None:
    """The order is the promise: a fallback never goes out while there is a record."""
    assert " → ".join(f"`{source}`" for source in Source) in README


@pytest.mark.parametrize("block", blocks(MANUAL, "toml"), ids=lambda block: block.splitlines()[0])
def test_documented_configuration_is_sound(block: str) -> None:
    """People copy these."""
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", block), "http://stub")
    environ |= {name: "postgresql://a:b@c/d" for name in environ if name.endswith("_DSN")}
    environ |= {name: f"a token for {name}" for name in environ if name.startswith("CONSOLE_")}
    assert compile_catalog(*read(block, environ)).warnings == ()


async def test_documented_python_lookup_answers_what_its_configuration_maps() -> None:
    """People copy this, too."""
    code, more = blocks(MANUAL, "python")
    names: dict[str, Any] = {"NotFound": NotFound}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - our own text
    exec(compile(more, "README.md", "exec"), names)  # noqa: S102
    configurations = [compile_catalog(*read(b, {})) for b in blocks(MANUAL, "toml") if "python =" in b]
    lookup = configurations[0].lookups["churn"]
    assert lookup.python == "mycrm:churn"
    ask = Ask("churn", dict.fromkeys(lookup.inputs, "user517"), 1400000001, "s", "t", 1.0)
    reply = await names["churn"](ask)
    assert lookup.variables["churn_risk"].search(reply) == "high"

    class Crm:
        """A backend that has one customer with two orders."""

        async def get(self, path: str, query: object = None, places: object = None) -> ClientResponse:
            """Answer."""
            body = b'{"id": 7}' if path == "/customers" and query else b"[1, 2]" if places else b""
            return ClientResponse(200, {}, lookup, body, json.loads(body))

    asked = Ask("orders", {"phone": "1"}, 1400000001, "s", "t", 1.0, client=lambda _: Crm())
    assert await names["open_orders"](asked) == {"open": 2}


PARTS = [(ROOT / "docs" / "credentials.md").read_text(encoding="utf-8")]


@pytest.mark.parametrize("block", [block for text in PARTS for block in blocks(text, "toml")])
def test_documented_credentials_are_sound(block: str) -> None:
    """People copy these."""
    names = re.findall(r"\[?\[backends\.(\w+)\.", block)
    text = f'[backends.{names[0]}]\nurl = "http://crm"\n{block}'
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", block), "stub")
    assert compile_catalog(*read(text, environ)).warnings == ()


PLACES = (ROOT / "docs" / "places.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", blocks(PLACES, "toml"), ids=range(len(blocks(PLACES, "toml"))))
def test_documented_places_are_sound_and_safe(block: str) -> None:
    """People copy these: none of them may have a warning."""
    assert compile_catalog(*read(f'[backends.crm]\nurl = "http://crm"\n{block}', {})).warnings == ()


def test_every_kind_of_place_is_documented() -> None:
    """An escape that nobody finds is not used."""
    kinds = {row[0].strip("`{}").partition(":")[2] or "text" for row in table(PLACES, "place")}
    assert kinds == set(KINDS)


ANSWERS = (ROOT / "docs" / "answers.md").read_text(encoding="utf-8")
JUDGED = """
[backends.crm]
url = "http://crm"
[lookups.customer]
backend = "crm"
request = { path = "/" }
variables = { id = "data.id", name = "data.customer.name || records[0].name" }
not_found = { name = "guest" }
"""


def shapes(section: str) -> list[Any]:
    """Return the responses of a section of docs/answers.md, each with the rules that it shows."""
    text = re.split(r"^## ", ANSWERS.partition(f"## {section}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    examples = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    return [
        pytest.param(blocks(one, "http"), blocks(one, "toml"), id=one.splitlines()[0]) for one in examples
    ]


def meaning_of(response: list[str], rules: list[str]) -> Finding:
    """Return what a documented response means by the documented rules."""
    status, _, body = response[0].partition("\n")
    lookup = compile_catalog(*read(JUDGED + "".join(rules), {})).lookups["customer"]
    return interpret(lookup, Response(int(status), {}, body.encode()), 0.0)


@pytest.mark.parametrize(("response", "rules"), shapes("No such customer"))
def test_documented_shape_of_a_missing_customer_is_not_found(response: list[str], rules: list[str]) -> None:
    """People look for their CRM here, and copy the rule."""
    assert meaning_of(response, rules) == Finding({"id": "", "name": "guest"}, found=False)


@pytest.mark.parametrize(("response", "rules"), shapes("The token is dead"))
def test_documented_shape_of_a_dead_token_is_unauthorized(response: list[str], rules: list[str]) -> None:
    """The same for what operators meet first."""
    with pytest.raises(BackendDenied):
        meaning_of(response, rules)


def test_documented_rules_are_sound_and_enough() -> None:
    """Five shapes of each, and every block compiles."""
    assert len(shapes("No such customer")) == len(shapes("The token is dead")) == 5
    for block in blocks(ANSWERS, "toml"):
        assert compile_catalog(*read(JUDGED + block, {})).warnings == ()


def shell_lines() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the documents' shell blocks, its environment left out."""
    for document in DOCUMENTS:
        for block in blocks(document.read_text(encoding="utf-8"), "sh"):
            for line in block.splitlines():
                words = [word for word in shlex.split(line, comments=True) if not re.match(r"[A-Z_]+=", word)]
                if ">" in words:
                    words = words[: words.index(">")]
                if words:
                    yield words[0], words[1:]


def test_documented_commands_exist() -> None:
    """A command that fails as written is the worst first impression."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for program, arguments in shell_lines():
        if program == "make":
            assert {word for word in arguments if "=" not in word} <= targets
        elif program == "deskgate":
            command = main.commands[arguments[0]]
            options = {name for parameter in command.params for name in parameter.opts}
            assert {word for word in arguments if word.startswith("-")} <= options
            with click.Context(command) as context:
                command.parse_args(context, arguments[1:])
        else:
            assert program in {"arq", "curl", "docker", "export"}


def slugs(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_within_the_project_lead_somewhere(document: Path) -> None:
    """A dead link in a document is a sign that nobody reads it."""
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            file = document.parent / path if path else document
            assert file.exists(), target
            assert not anchor or anchor in slugs(file.read_text(encoding="utf-8")), target


def test_changelog_has_this_version() -> None:
    """A user who upgrades looks here first."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert version in headings


def test_map_shows_every_file() -> None:
    """A newcomer's first question is where things are."""
    folders: list[str] = []
    shown = set()
    for line in blocks(ARCHITECTURE, "")[0].splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folders[depth:] = [name]
        if not name.endswith("/"):
            shown.add("".join(folders))
    there = {
        p.relative_to(ROOT).as_posix()
        for p in [*SOURCES, *ROOT.glob("gateway/**/*.lua")]
        if p.name[:2] != "__"
    }
    assert shown == there


@pytest.mark.parametrize("row", table(ARCHITECTURE, "a change"), ids=lambda row: row[0])
def test_change_has_one_room_that_is_there(row: list[str]) -> None:
    """A newcomer opens the file that the table names."""
    _, room, elsewhere = row
    named = re.findall(r"`(gateway/[\w/.]+)`", room)
    assert len(named) == 1
    assert len(re.findall(r"`(gateway/[\w/.]+)`", elsewhere)) <= 1
    for path in re.findall(r"`(gateway/[\w/.]+)`", room + elsewhere):
        assert (ROOT / path).exists(), path
    (folder,) = named
    for name in re.findall(r"`(\w+\.py)`", room):
        assert (ROOT / folder.rpartition("/")[0] / name).exists(), name


@pytest.mark.parametrize("row", table(ARCHITECTURE, "name"), ids=lambda row: row[0].strip("`"))
def test_documented_limit_is_the_limit(row: list[str]) -> None:
    """These are no settings, so this table is where an operator finds them."""
    module, _, name = row[0].strip("`").rpartition(".")
    assert getattr(import_module(module), name) == float(row[1])


def limits() -> Iterator[str]:
    """Yield each number to which a module of a gateway or a worker gives a public name."""
    for path, text in source_texts().items():
        place = path.relative_to(ROOT)
        beside = place.parts[:2] in {("gateway", "tools"), ("gateway", "crm"), ("gateway", "cli")}
        if beside and place.parts[2] != "gateways":
            continue
        module = ".".join(place.with_suffix("").parts)
        for node in ast.parse(text).body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant() | ast.BinOp()) if (
                    name.isupper() and not name.startswith("_")
                ):
                    if isinstance(getattr(import_module(module), name), int | float):
                        yield f"{module}.{name}"


def test_every_limit_is_documented() -> None:
    """A number that decides, and stands in no table, is found only by a reader of all the code."""
    assert {row[0].strip("`") for row in table(ARCHITECTURE, "name")} == set(limits())


def test_every_redis_key_is_documented() -> None:
    """A person who looks into Redis at night wants to know what belongs to whom."""
    keys = Keys("PREFIX")
    made = {
        getattr(keys, name)("NAME") for name in vars(Keys) if not name.startswith("_") and name != "prefix"
    }
    documented = {row[0].strip("`") for row in table(ARCHITECTURE, "key")}
    assert {key for key in documented if key.startswith("PREFIX")} == made


@pytest.mark.parametrize("row", table(ARCHITECTURE, "word"), ids=lambda row: row[0].strip("`"))
def test_shape_is_where_the_glossary_says(row: list[str]) -> None:
    """A reader who meets a word in the code looks it up there."""
    word, where = row[0].strip("`"), row[1].strip("`")
    text = (ROOT / "gateway" / where).read_text(encoding="utf-8")
    assert re.search(rf"^class {word}\b", text, re.MULTILINE)


def test_states_of_a_job_have_the_scores_of_the_scripts() -> None:
    """An operator reads a lane with ZRANGE and this table."""
    prelude = (ROOT / "gateway/queue/lua/lane.lua").read_text(encoding="utf-8")
    found = re.search(r"^local STEP, REFRESHES, CLAIMED = (\d+), (\w+), (\w+)$", prelude, re.MULTILINE)
    assert found
    step, refreshes, claimed = found.groups()
    scores = [row[1] for row in table(ARCHITECTURE, "state")]
    assert f"in steps of {step} ms: below {refreshes}" in scores[0]
    assert scores[1].startswith(f"{refreshes}, and ")
    assert scores[1].endswith(f"in steps of {step} ms: below {claimed}")
    assert scores[3].endswith(f"from {claimed}")
