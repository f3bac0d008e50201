"""The status of a deployment, as people read it on a terminal."""

import time
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.resilience.shut import Gates
from gateway.telemetry.terminal import printable
from gateway.tools.presentation import table
from gateway.tools.status.look import LaneStatus, Status


def show(status: Status, at: float) -> RenderableType:
    """Return a status for people, seen at a time in seconds since 1970."""
    clock = time.strftime("%H:%M:%S", time.localtime(at))
    lines: list[RenderableType] = [_headline(status, clock)]
    if status.lanes:
        lines += [Text(), _lanes(status)]
    return Group(*lines)


def _headline(status: Status, clock: str) -> Table:
    rows = table("", "")
    rows.show_header = False
    redis = status.redis
    if redis.up:
        limit = f" of {redis.memory_limit}" if redis.memory_limit else ""
        more = f", {redis.memory}{limit}, {redis.clients} clients" if redis.memory else ""
        version = f"{redis.version}, " if redis.version else ""
        rows.add_row("redis", Text(f"{version}{redis.ms:.1f} ms{more}", "" if redis.refuses else "green"))
        if redis.refuses:
            rows.add_row(
                "", Text(f"takes no writes, so no worker is seen: {printable(redis.refuses)}", "bold red")
            )
    else:
        rows.add_row("redis", Text(f"cannot be reached: {printable(redis.error)}", "bold red"))
    if status.gateways is not None:
        rows.add_row("gateways", Text(str(status.gateways), "green" if status.gateways else "bold red"))
    if differ := _differing(status):
        rows.add_row("rollout", Text(f"{differ} run another configuration than this file", "yellow"))
    rows.add_row("seen", Text(f"at {clock}, with the configuration {status.config}", "dim"))
    return rows


def _differing(status: Status) -> str:
    """Return the processes that run another configuration, in words."""
    counts = [(status.gateways_differ, f"of {status.gateways} gateways")]
    counts += [(lane.workers_differ, f"of {lane.workers} workers of {lane.lane}") for lane in status.lanes]
    return ", ".join(f"{count} {of}" for count, of in counts if count)


def _lanes(status: Status) -> Table:
    numbers = ("workers", "free", "claimed", "waiting", "oldest", "refreshes", "jobs/s", "a job")
    rows = table("lane", *numbers, "breaker", "paused")
    for one in status.lanes:
        rows.add_row(
            one.lane,
            _workers(one),
            str(one.free_slots),
            str(one.claimed),
            Text(str(one.waiting), "yellow" if one.waiting else ""),
            Text(_seconds(one.oldest_s), "bold yellow" if one.health == "backlog" else ""),
            str(one.refreshes),
            f"{one.jobs_per_s:.0f}" if one.jobs_per_s else "-",
            _seconds(one.job_s),
            _breaker(one.breaker),
            _alone(one),
        )
    for name in [one for one in status.backends if one not in {lane.lane for lane in status.lanes}]:
        gates = status.backends[name]  # Python lookups ask it, on lanes of their own
        rows.add_row(name, *("-" for _ in numbers), _breaker(gates.breaker), _alone(gates))
    return rows


def _workers(one: LaneStatus) -> Text:
    if one.health == "no worker":
        return Text("none", "bold red")
    return Text(f"{one.workers}{' + arq' if one.polled_by_arq else ''}")


def _alone(one: LaneStatus | Gates) -> Text:
    """Return for how long the backend is left alone: an operator holds it, or it has asked for a pause."""
    if one.held_s:
        return Text(f"held {_seconds(one.held_s)}", "bold yellow")
    return Text(_seconds(one.paused_s), "bold yellow") if one.paused_s else Text("-")


def _breaker(state: str | None) -> Text:
    styles: dict[Any, str] = {"closed": "green", "open": "bold red", "half_open": "yellow"}
    return Text((state or "off").replace("_", " "), styles.get(state, "dim"))


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
