"""What the console costs callbacks, and how it feels: the first view, and frames while callbacks stream."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from socket import SHUT_RDWR, create_connection

from playwright.sync_api import Browser, sync_playwright

from gateway.tools.processes import deskgate
from tests.bench.callbacks import CONNECTIONS, LIVE, MEMORY, Server
from tests.bench.configuration import configuration
from tests.bench.contestants import worker_command
from tests.bench.figures import Ratio, Target, brief, middle, percentile, spread
from tests.bench.meter import Heat, run_heat
from tests.bench.pace import Pace, Step
from tests.bench.pairs import open_generator
from tests.bench.section import Section, Table
from tests.bench.stage import Caller, Stage, free_port, wait_for_port
from tests.browser import CHROMIUM

VIEWS, FRAMES_FOR = 10, 10.0
LANES = 200
RATE = 100.0
_ABOUT = f"""\
Callbacks in turns, while two pages of the console watch (the overview and the callbacks) and while nobody \
does; CPU of the gateway for each callback. Then a headless Chromium, which may use both cores: the first \
view from the address to the drawn overview, nothing cached, of 2 and of {LANES} backends; and the frames of \
ten seconds in which {RATE:.0f} callbacks a second are streamed and drawn."""
WATCHED, ALONE = "watched", "alone"
_DRAWN = """
const seen = new MutationObserver(() => {
  if (document.querySelector("main[data-drawn]") && !window.drawn) window.drawn = performance.now();
});
seen.observe(document, { subtree: true, childList: true, attributes: true });
"""
_WHEN_DRAWN = """
() => new Promise((resolve) => {
  const look = () => (window.drawn ? resolve(window.drawn) : setTimeout(look, 5));
  look();
})
"""
_FRAMES = """
(ms) => new Promise((resolve) => {
  const times = [];
  const begun = performance.now();
  const note = (now) => {
    times.push(now);
    if (now - begun < ms) requestAnimationFrame(note);
    else resolve(times);
  };
  requestAnimationFrame(note);
})
"""


def steps(pace: Pace) -> int:
    """Return how many turns there will be."""
    return pace.callback_rounds * 4 + (3 if CHROMIUM else 0)


def measure(pace: Pace, step: Step) -> Section:
    """Run the rounds; raise CannotStart."""
    with Stage() as stage:
        generator = open_generator(stage)
        few, admin = _start(stage, "few", 1)
        heats = _rounds(stage, generator, few, admin, pace, step)
        tables = [_costs(heats)]
        targets: list[Target] = []
        if CHROMIUM:
            _, many = _start(stage, "many", LANES)
            feels, targets = _feel(generator, few, (admin, many), step)
            tables.append(feels)
        return Section("Console", f"{_ABOUT}\n\n{_placed(stage)}", tables, targets)


def _placed(stage: Stage) -> str:
    return stage.placement.sentence("the gateway", "all else")


def _start(stage: Stage, name: str, lanes: int) -> tuple[tuple[Server, int], int]:
    """Start a gateway and its worker; return them, and the admin port."""
    port, admin = free_port(), free_port()
    text = configuration(stage.url, name, listen=port, more_lanes=lanes).replace(
        'admin = "127.0.0.1:0"', f'admin = "127.0.0.1:{admin}"'
    )
    config = stage.write(f"{port}.toml", text)
    process, worker = stage.start(deskgate("gateway", "-c", str(config))), stage.start(worker_command(config))
    stage.placement.keep_apart(process.pid)
    stage.placement.keep_together(worker.pid)
    wait_for_port(port)
    return (Server(name, process.pid, port), worker.pid), admin


Heats = Mapping[tuple[str, str], Mapping[int, Heat]]


def _rounds(  # noqa: PLR0913, PLR0917 - what a turn needs, and how many there are
    stage: Stage, generator: Caller, few: tuple[Server, int], admin: int, pace: Pace, step: Step
) -> Heats:
    server, worker = few
    heats: dict[tuple[str, str], dict[int, Heat]] = defaultdict(dict)
    for number in range(pace.callback_rounds):
        for what in (MEMORY, LIVE):
            for kind in (WATCHED, ALONE) if number % 2 else (ALONE, WATCHED):
                key, sessions = ("kept", 1) if what == MEMORY else ("noop", None)
                order = Server(what, server.pid, server.port, key, sessions).order()
                with ExitStack() as watching:
                    if kind == WATCHED:
                        for page in ("overview", "callbacks"):
                            watching.enter_context(_watched(admin, page))
                    heats[what, kind][number] = run_heat(
                        stage,
                        generator,
                        {"gateway": server.pid, "worker": worker},
                        seconds=pace.callback_turn * 3,
                        callers=CONNECTIONS,
                        **order,
                    )
                step()
    return heats


@contextmanager
def _watched(admin: int, page: str) -> Iterator[None]:
    """Read a stream of the console for the length of the block, as a page does."""
    head = f"GET /console/api/events/{page} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with create_connection(("127.0.0.1", admin)) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")

        def read() -> None:
            while connection.recv(65_536):
                pass

        reading = threading.Thread(target=read, daemon=True)
        reading.start()
        try:
            yield
        finally:
            connection.shutdown(SHUT_RDWR)
            reading.join()


def _costs(heats: Heats) -> Table:
    rows = []
    for what in (MEMORY, LIVE):
        cpu = {
            kind: {n: heat.cpu("gateway") for n, heat in heats[what, kind].items()}
            for kind in (ALONE, WATCHED)
        }
        rates = {
            kind: {n: heat.turn.rate for n, heat in heats[what, kind].items()} for kind in (ALONE, WATCHED)
        }
        p99s = {
            kind: middle(heat.turn.p99 for heat in heats[what, kind].values()) for kind in (ALONE, WATCHED)
        }
        rows.append(
            [
                what,
                *(brief(middle(cpu[kind].values())) for kind in (ALONE, WATCHED)),
                str(Ratio.of(cpu[WATCHED], cpu[ALONE])),
                str(Ratio.of(rates[WATCHED], rates[ALONE])),
                *(brief(p99s[kind]) for kind in (ALONE, WATCHED)),
            ]
        )
    columns = ("callbacks", "CPU, µs", "watched", ": alone", "callbacks/s : alone", "p99, ms", "watched")
    return Table(columns, rows)


def _feel(
    generator: Caller, few: tuple[Server, int], admins: tuple[int, int], step: Step
) -> tuple[Table, list[Target]]:
    """Return how the console feels in a browser."""
    server, _ = few
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        views = []
        for admin in admins:
            views.append([_first_view(browser, admin) for _ in range(VIEWS)])
            step()
        generator.tell(
            port=server.port, callers=1, sessions=None, key="noop", seconds=FRAMES_FOR + 3, pause=1 / RATE
        )
        frames = _frames(browser, admins[0])
        generator.hear(FRAMES_FOR + 10)
        step()
        browser.close()
    gaps = [after - before for before, after in pairwise(frames)]
    rate = len(gaps) / (sum(gaps) / 1000)
    rows = [
        ["first view, 2 backends, ms", spread(views[0])],
        [f"first view, {LANES} backends, ms", spread(views[1])],
        ["frames a second", brief(rate)],
        ["longest of 99 % of the frames, ms", brief(percentile(gaps, 0.99))],
    ]
    targets = [
        Target("console: first view, ms", middle(views[0]), 300.0),
        Target(f"console: frames a second at {RATE:.0f} callbacks/s", rate, 59.0, at_most=False),
    ]
    return Table(("in Chromium", "median (quartiles)"), rows), targets


def _first_view(browser: Browser, admin: int) -> float:
    """Return the ms from the address to the drawn overview, in a browser that knows nothing."""
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(_DRAWN)
    page.goto(f"http://127.0.0.1:{admin}/console/")
    took = float(page.evaluate(_WHEN_DRAWN))
    context.close()
    return took


def _frames(browser: Browser, admin: int) -> list[float]:
    """Return the times of the frames, in ms, while callbacks are drawn as they come."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{admin}/console/#/callbacks")
    page.wait_for_selector("table.callbacks tbody tr")
    time.sleep(1)
    times = [float(one) for one in page.evaluate(_FRAMES, FRAMES_FOR * 1000)]
    assert page.locator("table.callbacks tbody tr").count() > 50
    context.close()
    return times
