"""The map of the code holds: who may import whom, and who may know what.

The rules read the source with ``ast``, import nothing of it, and yield one line for each fault. Below them
every rule is shown trees that break it, since a rule that cannot fail promises nothing.
"""

import ast
import re
import sys
from collections.abc import Callable, Container, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

LAYERS = (  # outermost first: a room imports from itself and from the layers further in
    ("workers",),
    ("gateway",),  # whatever of it is not named below: the command line
    ("gateway.console",),
    ("gateway.tools", "gateway.crm", "gateway.testing"),
    ("gateway.front",),  # whatever of it is not named below: the roots
    ("gateway.front.callbacks", "gateway.front.alone"),
    ("gateway.front.flow", "gateway.front.session_events"),
    ("gateway.front.askers", "gateway.front.readiness"),
    ("gateway.front.plan", "gateway.front.ladder", "gateway.front.dialects"),
    ("gateway.forgetting",),
    ("gateway.queue", "gateway.lookups", "gateway.fleet", "gateway.history"),
    ("gateway.resilience",),
    ("gateway.wire", "gateway.records", "gateway.edge"),
    ("gateway.process",),
    ("gateway.telemetry", "gateway.declared"),
    ("gateway.lookup",),  # for authors: nobody here imports it
    ("gateway.core",),
)
NOT_A_WORKERS = (
    "gateway.front",
    "gateway.tools",
    "gateway.cli",
)  # of what lies further in, a worker takes the rest
REDIS_ROOMS = ("gateway.wire", "gateway.forgetting", "gateway.records")
FLOW = (
    "gateway.front.flow",
    "gateway.front.plan",
    "gateway.front.ladder",
    "gateway.front.callbacks",
    "gateway.edge",
)
HANDED_IN = ("gateway.lookups", "gateway.resilience")  # rooms that get their state, and know no Redis
NAME_KEYS = (  # who names a key: everybody else is handed what it needs
    *(
        "gateway/wire/",
        "gateway/queue/",
        "gateway/fleet/",
        "gateway/history/",
        "gateway/forgetting/",
        "gateway/front/alone/",
    ),
    *("gateway/front/service.py", "workers/", "gateway/cli/"),  # these three make them, for one prefix
    *(
        "gateway/tools/connections.py",
        "gateway/tools/health.py",
        "gateway/tools/fleet.py",
        "gateway/tools/status/look.py",
    ),  # these look
    *("gateway/tools/explaining/run.py", "gateway/console/charts.py"),
)
OWNERS = {  # who alone may import what
    "arq": ("gateway/queue/jobs.py", "workers/"),
    "redis": ("gateway/wire/", "gateway/forgetting/erase.py", "workers/"),
    "structlog": ("gateway/telemetry/",),
    "opentelemetry": ("gateway/telemetry/traces.py",),
    "prometheus_client": ("gateway/telemetry/exposition.py",),
}
AIOHTTP = ("aiohttp.web", "aiohttp.abc")  # its documented modules, beside what aiohttp itself exports
NO_PUBLIC_NAME = {  # undocumented modules, and why
    # Nothing public tells a header that is too long from another protocol.
    "gateway/lookups/failures.py": ("aiohttp.http_exceptions",),
    # The types of the parameters and results of what is public: TCPConnector.connect(), Connection.protocol.
    "gateway/lookups/connector.py": ("aiohttp.connector", "aiohttp.tracing"),
    "gateway/lookups/ear.py": ("aiohttp.client_proto", "aiohttp.connector"),
}
PURE = (
    "gateway.console.configuration",
    "gateway.console.rights",
    "gateway.core",
    "gateway.declared",
    "gateway.front.ladder",
    "gateway.front.plan",
    "gateway.history.entries",
    "gateway.history.series",
    "gateway.history.values",
    "gateway.lookups.answers",
    "gateway.lookups.decoding",
    "gateway.lookups.judged",
    "gateway.lookups.reply",
)
PURE_PACKAGES = {"gateway", "jmespath", "msgspec", "re2", "xmltodict"}
IMPURE = (  # of the standard library; pathlib is not here because a path is a value before it is opened
    *("asyncio", "concurrent", "multiprocessing", "sched", "signal", "subprocess", "threading"),
    *("http.client", "http.server", "select", "selectors", "socket", "socketserver", "ssl", "urllib.request"),
    *("glob", "io", "logging", "os", "shutil", "sqlite3", "tempfile"),
    *("random", "secrets", "time", "uuid"),
)
ENVIRONMENT = "gateway/declared/environment.py"  # alone reads the environment
DESK_SIDE = (
    "gateway/front/dialects/desk.py",
    *("gateway/tools/call.py", "gateway/tools/demo/run.py", "gateway/testing/desk.py"),  # these play Desk
)
CHOOSE_THE_DIALECT = ("gateway/front/dialects/__init__.py", "gateway/tools/")
DESK_NAMES = (
    *("ActionStatus", "ErrorCode", "ErrorInfo", "Body", "CallbackCommand", "EventTime"),
    *("SdkAppid", "SdkAppId", "Sign", "RequestTime", "ClientIP", "OptPlatform", "contenttype", "RequestID"),
    *("SystemSessionID", "SystemClientUserID", "SystemCustomerServiceID", "SystemChannelType"),
    *("SessionId", "ClientUserId", "CustomerServiceId", "ChannelType", "AgentGroupId", "AgentIdList"),
)
# A name as it goes over the wire: alone, quoted, or in a query. A sentence for people may say it.
ON_THE_WIRE = re.compile(rf"""(?:^|[?&"'])({"|".join(DESK_NAMES)})(?:$|[="'])""")
MOST_LINES = 300
LISTS = {"gateway/telemetry/events.py"}  # of one idea: they grow with what there is


class Source(NamedTuple):
    """One file: its dotted name, its path from the root, its length, its syntax, and its imports by line."""

    module: str
    path: str
    lines: int
    nodes: list[ast.AST]
    imports: list[tuple[int, str]]


Rule = Callable[[list[Source]], Iterator[str]]


def read_tree(root: Path) -> list[Source]:
    """Return every Python file of the two packages under ``root``."""
    files = [path for package in ("gateway", "workers") for path in sorted((root / package).rglob("*.py"))]
    known = {dotted(path.relative_to(root)) for path in files}
    return [read_source(root, path, known) for path in files]


def read_source(root: Path, path: Path, known: Container[str]) -> Source:
    """Return one file; ``known`` are the modules that there are."""
    text = path.read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    name = path.relative_to(root)
    found = list(imports(nodes, dotted(name.parent), known))
    return Source(dotted(name), name.as_posix(), len(text.splitlines()), nodes, found)


def dotted(path: Path) -> str:
    """Return the name by which the file is imported."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports(nodes: list[ast.AST], package: str, known: Container[str]) -> Iterator[tuple[int, str]]:
    """Yield line and target of each import, wherever it stands; ``importlib`` with a literal counts too."""
    for node in nodes:
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom():
                origin = resolve_name("." * node.level + (node.module or ""), package)
                for full in (f"{origin}.{alias.name}" for alias in node.names):
                    yield node.lineno, full if full in known or origin not in known else origin
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def within(name: str, *packages: str) -> bool:
    """Tell whether ``name`` is one of the packages or lies in one."""
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def place(module: str) -> tuple[int, str] | None:
    """Return the layer and the part that ``module`` belongs to; None when it is not of this project."""
    if module == "gateway":  # every import of a part runs it first, so it is the innermost
        return len(LAYERS), module
    parts = ((depth, part) for depth, layer in enumerate(LAYERS) for part in layer if within(module, part))
    return max(parts, default=None)


def imports_point_inwards(tree: list[Source]) -> Iterator[str]:
    """Yield each import of a part by one that does not lie further out."""
    for source in tree:
        here = place(source.module)
        for line, target in source.imports:
            there = place(target)
            if here and there and here != there and there[0] <= here[0]:
                yield f"{source.path}:{line} imports {target}"


def decisions_are_pure(tree: list[Source]) -> Iterator[str]:
    """Yield whatever in a pure room could wait, reach outside, or give another answer the next time."""
    pure = [source for source in tree if within(source.module, *PURE)]
    for source in pure:
        for line, target in source.imports:
            top = target.partition(".")[0]
            foreign = top not in PURE_PACKAGES and top not in sys.stdlib_module_names
            impure = within(target, *IMPURE) and not (source.path == ENVIRONMENT and top == "os")
            if foreign or impure:
                yield f"{source.path}:{line} imports {target}"
        for node in source.nodes:
            if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith):
                yield f"{source.path}:{node.lineno} awaits"


def workers_leave_the_front_alone(tree: list[Source]) -> Iterator[str]:
    """Yield what a worker imports of a gateway's side."""
    yield from _imports_of(tree, ("workers",), NOT_A_WORKERS)


def the_flow_knows_no_queue(tree: list[Source]) -> Iterator[str]:
    """Yield what the flow and its neighbours import of Redis' rooms: they know an Asker alone."""
    yield from _imports_of(tree, FLOW, ("gateway.queue", *REDIS_ROOMS))


def state_is_handed_in(tree: list[Source]) -> Iterator[str]:
    """Yield each import of Redis' rooms by one that gets its state handed in."""
    yield from _imports_of(tree, HANDED_IN, ("gateway.queue", *REDIS_ROOMS))


def _imports_of(tree: list[Source], rooms: tuple[str, ...], forbidden: tuple[str, ...]) -> Iterator[str]:
    theirs = [source for source in tree if within(source.module, *rooms)]
    for source in theirs:
        for line, target in source.imports:
            if within(target, *forbidden):
                yield f"{source.path}:{line} imports {target}"


def only_redis_rooms_name_keys(tree: list[Source]) -> Iterator[str]:
    """Yield each import of the keys by a room that has no business with them."""
    for source in tree:
        for line, target in source.imports:
            if target == "gateway.wire.keys" and not source.path.startswith(NAME_KEYS):
                yield f"{source.path}:{line} imports {target}"


def one_file_reads_the_environment(tree: list[Source]) -> Iterator[str]:
    """Yield each use of the process's environment outside the file for it."""
    readers = {"environ", "environb", "getenv", "getenvb"}
    others = [source for source in tree if source.path != ENVIRONMENT]
    for source in others:
        for line, target in source.imports:
            if target in {f"os.{reader}" for reader in readers}:
                yield f"{source.path}:{line} reads the environment"
        for node in source.nodes:
            match node:
                case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in readers:
                    yield f"{source.path}:{node.lineno} reads the environment"


def only_the_desk_side_knows_its_names(tree: list[Source]) -> Iterator[str]:
    """Yield each of the platform's field names in a literal or as a field, where another part spells it."""
    for source in tree:
        for line, word in spelled(source):
            if source.path not in DESK_SIDE and (found := ON_THE_WIRE.search(word)):
                yield f"{source.path}:{line} spells {found[1]}"


def only_the_root_chooses_the_dialect(tree: list[Source]) -> Iterator[str]:
    """Yield each import of the Desk dialect by a file that should be handed a dialect."""
    for source in tree:
        for line, target in source.imports:
            if within(target, "gateway.front.dialects.desk") and not source.path.startswith(
                CHOOSE_THE_DIALECT
            ):
                yield f"{source.path}:{line} imports {target}"


def spelled(source: Source) -> Iterator[tuple[int, str]]:
    """Yield the literals that are used (a docstring is not), the fields of classes, and keywords."""
    unused = {node.value for node in source.nodes if isinstance(node, ast.Expr)}
    for node in source.nodes:
        match node:
            case ast.Constant(value=str(text)) if node not in unused:
                yield node.lineno, text
            case ast.Constant(value=bytes(data)):
                yield node.lineno, data.decode("latin-1")
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.keyword(arg=str(name)):
                yield node.lineno, name


def libraries_stay_with_their_owners(tree: list[Source]) -> Iterator[str]:
    """Yield each import of a library by a file that does not own it."""
    for source in tree:
        for line, target in source.imports:
            owners = OWNERS.get(target.partition(".")[0])
            if owners and not source.path.startswith(owners):
                yield f"{source.path}:{line} imports {target}"


def aiohttp_is_used_by_its_public_doors(tree: list[Source]) -> Iterator[str]:
    """Yield each undocumented module of aiohttp's, and each private name in a class that inherits from it.

    ruff (SLF001) finds the private attributes of all other objects, but takes those of ``self`` for ours.
    """
    for source in tree:
        allowed = (*AIOHTTP, *NO_PUBLIC_NAME.get(source.path, ()))
        ours = {target.rpartition(".")[2] for _, target in source.imports if within(target, "aiohttp")}
        for line, target in source.imports:
            exported = not target.removeprefix("aiohttp.")[0].islower()  # a class; modules are in lower case
            if (
                within(target, "aiohttp")
                and target != "aiohttp"
                and not (exported or within(target, *allowed))
            ):
                yield f"{source.path}:{line} imports {target}"
        for node in source.nodes:
            match node:
                case ast.Attribute(value=ast.Name(id="aiohttp"), attr=name) if name.islower():
                    if not within(f"aiohttp.{name}", *allowed):
                        yield f"{source.path}:{node.lineno} uses aiohttp.{name}"
                case ast.ClassDef(bases=bases) if any(_root(base) in ours for base in bases):
                    inside = [one for one in ast.walk(node) if isinstance(one, ast.Attribute)]
                    for one in inside:
                        if one.attr.startswith("_") and not one.attr.endswith("__"):
                            yield f"{source.path}:{one.lineno} uses {one.attr}, which may be aiohttp's"


def _root(expression: ast.expr) -> str:
    """Return the name that a dotted expression begins with."""
    while isinstance(expression, ast.Attribute):
        expression = expression.value
    return expression.id if isinstance(expression, ast.Name) else ""


def the_crm_stands_alone(tree: list[Source]) -> Iterator[str]:
    """Yield what the flaky CRM imports of the gateway, its units aside."""
    crm = [source for source in tree if within(source.module, "gateway.crm")]
    for source in crm:
        for line, target in source.imports:
            if place(target) and not within(target, "gateway.crm", "gateway.core.units"):
                yield f"{source.path}:{line} imports {target}"


def files_are_short(tree: list[Source]) -> Iterator[str]:
    """Yield each file that probably holds two ideas."""
    for source in tree:
        if source.lines > MOST_LINES and source.path not in LISTS:
            yield f"{source.path} has {source.lines} lines"


def there_are_no_cycles(tree: list[Source]) -> Iterator[str]:
    """Yield the files of one cycle of imports, if there is any."""
    graph = {source.module: {target for _, target in source.imports} - {source.module} for source in tree}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = sorted(source.path for source in tree if source.module in error.args[1])
        yield f"{', '.join(cycle)} import one another"


SOUND = {  # each file does what a rule allows just there
    "gateway/__init__.py": "",
    "gateway/core/units.py": "import re, msgspec\nfrom urllib.parse import quote",
    "gateway/core/errors.py": "",
    "gateway/lookup.py": "from gateway.core import errors",
    "gateway/declared/environment.py": "import os\nhome = os.environ\nfrom gateway.core import units",
    "gateway/telemetry/logs.py": "import structlog\nfrom gateway.core import units",
    "gateway/wire/keys.py": "import redis.asyncio\nfrom gateway.telemetry import logs",
    "gateway/queue/jobs.py": "import arq\nfrom gateway.wire import keys",
    "gateway/front/ladder.py": "from gateway.core import units",
    "gateway/front/flow.py": "import gateway.front.askers\nfrom gateway.core.units import quote",
    "gateway/front/askers.py": "import gateway.queue.jobs",
    "gateway/front/dialects/desk.py": "class Reply:\n    ErrorCode: int\nname = 'SdkAppid'",
    "gateway/front/callbacks.py": "'ErrorCode'\na = 'no SdkAppid'",
    "gateway/front/app.py": "import gateway.front.dialects\nfrom gateway.front import callbacks",
    "gateway/front/service.py": "from gateway.wire.keys import Keys",
    "gateway/crm/script.py": "from gateway.core import units\nfrom . import script",
    "gateway/tools/call.py": "from gateway.front.dialects import desk",
    "gateway/edge/port.py": "from aiohttp import web\nclass A(web.Server):\n    a = Server().__call__",
    "gateway/lookups/failures.py": "import aiohttp\nfrom aiohttp import ClientSession, http_exceptions\n"
    "class B(ClientSession):\n    b = aiohttp.ClientError",
    "gateway/lookups/ask.py": "from gateway.declared import config\nclass C:\n    c = self._c",
    "gateway/cli/__init__.py": "",
    "gateway/cli/serving.py": "from gateway.front import callbacks\nfrom gateway.crm.script import A",
    "workers/jobs.py": "from arq import Worker\nfrom redis import Redis\nimport gateway.queue.jobs",
}
BROKEN: dict[Rule, list[tuple[str, str, str]]] = {  # a file that breaks the rule, its text, and the fault
    imports_point_inwards: [
        ("gateway/core/a.py", "import gateway.front.flow", ":1 imports gateway.front.flow"),
        ("gateway/core/a.py", "from gateway.telemetry import logs", ":1 imports gateway.telemetry.logs"),
        ("gateway/core/a.py", "import gateway.lookup", ":1 imports gateway.lookup"),
        ("gateway/queue/a.py", "\nfrom ..lookups import ask", ":2 imports gateway.lookups.ask"),
        ("gateway/wire/a.py", "import gateway.queue.jobs", ":1 imports gateway.queue.jobs"),
        ("gateway/declared/a.py", "from gateway.telemetry import logs", ":1 imports gateway.telemetry.logs"),
        ("gateway/front/flow.py", "def f():\n    from .. import cli", ":2 imports gateway.cli"),
        ("gateway/front/flow.py", "from gateway.tools import call", ":1 imports gateway.tools.call"),
        ("gateway/front/flow.py", "from gateway.front import app", ":1 imports gateway.front.app"),
        ("gateway/front/askers.py", "import gateway.front.flow", ":1 imports gateway.front.flow"),
        ("gateway/cli/a.py", "import workers.jobs", ":1 imports workers.jobs"),
        ("gateway/cli/a.py", "importlib.import_module('workers')", ":1 imports workers"),
        ("gateway/__init__.py", "from gateway.core import units", ":1 imports gateway.core.units"),
    ],
    workers_leave_the_front_alone: [
        ("workers/a.py", "from gateway.front import ladder", ":1 imports gateway.front.ladder"),
        ("workers/a.py", "from gateway.tools import call", ":1 imports gateway.tools.call"),
        ("workers/a.py", "import gateway.cli", ":1 imports gateway.cli"),
    ],
    the_flow_knows_no_queue: [
        ("gateway/front/flow.py", "from gateway.queue import jobs", ":1 imports gateway.queue.jobs"),
        ("gateway/front/plan.py", "import gateway.wire.keys", ":1 imports gateway.wire.keys"),
    ],
    state_is_handed_in: [
        ("gateway/lookups/a.py", "from gateway.wire import keys", ":1 imports gateway.wire.keys"),
    ],
    only_redis_rooms_name_keys: [
        ("gateway/front/flow.py", "from gateway.wire.keys import Keys", ":1 imports gateway.wire.keys"),
    ],
    decisions_are_pure: [
        ("gateway/core/a.py", "import time", ":1 imports time"),
        ("gateway/core/a.py", "from os import path", ":1 imports os.path"),
        ("gateway/core/a.py", "from urllib import request", ":1 imports urllib.request"),
        ("gateway/core/a.py", "import aiohttp", ":1 imports aiohttp"),
        ("gateway/front/ladder.py", "import asyncio", ":1 imports asyncio"),
        ("gateway/declared/environment.py", "import socket", ":1 imports socket"),
        ("gateway/core/a.py", "async def f(x):\n    await x", ":2 awaits"),
    ],
    one_file_reads_the_environment: [
        ("gateway/cli/a.py", "os.getenv('A')", ":1 reads the environment"),
        ("workers/a.py", "from os import environ", ":1 reads the environment"),
    ],
    only_the_desk_side_knows_its_names: [
        ("gateway/front/flow.py", "variables['SystemSessionID']", ":1 spells SystemSessionID"),
        ("workers/a.py", "class A:\n    ErrorCode: int", ":2 spells ErrorCode"),
        ("gateway/cli/a.py", "f'{url}?SdkAppid={app}'", ":1 spells SdkAppid"),
        ("gateway/cli/a.py", "a = b'{\"Body\": {}}'", ":1 spells Body"),
        ("gateway/cli/a.py", "dict(Sign='')", ":1 spells Sign"),
    ],
    only_the_root_chooses_the_dialect: [
        (
            "gateway/front/callbacks.py",
            "from gateway.front.dialects.desk import Desk",
            ":1 imports gateway.front.dialects.desk",
        ),
        ("gateway/front/flow.py", "from .dialects import desk", ":1 imports gateway.front.dialects.desk"),
    ],
    libraries_stay_with_their_owners: [
        ("gateway/wire/a.py", "import arq", ":1 imports arq"),
        ("gateway/front/flow.py", "import redis.asyncio", ":1 imports redis.asyncio"),
        ("workers/a.py", "import structlog", ":1 imports structlog"),
    ],
    aiohttp_is_used_by_its_public_doors: [
        ("workers/a.py", "import aiohttp.helpers", ":1 imports aiohttp.helpers"),
        ("workers/a.py", "from aiohttp import http", ":1 imports aiohttp.http"),
        ("workers/a.py", "from aiohttp.web_protocol import A", ":1 imports aiohttp.web_protocol.A"),
        ("workers/a.py", "from aiohttp.http_exceptions import A", ":1 imports aiohttp.http_exceptions.A"),
        ("workers/a.py", "import aiohttp\nA = aiohttp.helpers", ":2 uses aiohttp.helpers"),
        (
            "workers/a.py",
            "from aiohttp import web\nclass A(web.Server):\n    a = self._loop",
            ":3 uses _loop, which may be aiohttp's",
        ),
        (
            "workers/a.py",
            "from aiohttp.web import Server\nclass A(Server):\n    a = super()._loop",
            ":3 uses _loop, which may be aiohttp's",
        ),
    ],
    the_crm_stands_alone: [
        ("gateway/crm/a.py", "from gateway.declared import catalog", ":1 imports gateway.declared.catalog"),
    ],
    files_are_short: [("workers/a.py", "\n" * (MOST_LINES + 1), " has 301 lines")],
    there_are_no_cycles: [
        (
            "gateway/front/dialects/desk.py",
            "from gateway.tools import call",
            ", gateway/tools/call.py import one another",
        ),
    ],
}


@pytest.mark.parametrize("rule", BROKEN)
def test_the_code_keeps_to_its_map(rule: Rule) -> None:
    """A newcomer can trust what ARCHITECTURE.md says about who knows what."""
    tree = our_tree()
    assert tree, "no source found"
    assert list(rule(tree)) == []


@cache
def our_tree() -> list[Source]:
    """Return the project's own code, read once."""
    return read_tree(ROOT)


@pytest.mark.parametrize("rule", BROKEN)
def test_a_rule_lets_a_sound_tree_pass(rule: Rule, tmp_path: Path) -> None:
    """A rule that cries wolf is soon switched off."""
    assert list(rule(grow(tmp_path, SOUND))) == []


@pytest.mark.parametrize(
    ("rule", "name", "text", "fault"),
    [(rule, *example) for rule, examples in BROKEN.items() for example in examples],
)
def test_a_rule_names_the_fault(rule: Rule, name: str, text: str, fault: str, tmp_path: Path) -> None:
    """A rule that cannot fail promises nothing, and one that does not say where costs an hour."""
    assert list(rule(grow(tmp_path, SOUND | {name: text}))) == [name + fault]


def grow(root: Path, files: dict[str, str]) -> list[Source]:
    """Write ``files`` under ``root`` and return them as read."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return read_tree(root)
