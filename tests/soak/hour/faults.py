"""Every fault, one function each: it is done when the fault is over."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from signal import SIGCONT, SIGHUP, SIGKILL, SIGSTOP, SIGTERM
from typing import NamedTuple

from tests.soak.hour.stage import Stage

CRM_FAILS = "[[rules]]\nshares = { error = 0.5, hang = 0.2, reset = 0.1, ok = 0.2 }\n"
CRM_LIES = "[[rules]]\nshares = { garbage = 0.1, ingress = 0.1, huge = 0.05, unasked = 0.1, ok = 0.65 }\n"


class Fault(NamedTuple):
    """A fault: its name, what it does, and whether callbacks in hand may be lost with a process."""

    name: str
    happen: Callable[[Stage, float], Awaitable[None]]
    kills_gateway: bool = False


async def quiet(_: Stage, seconds: float) -> None:
    """Nothing."""
    await asyncio.sleep(seconds)


async def kill_worker(stage: Stage, seconds: float) -> None:
    """A worker runs out of memory, and is started again."""
    await stage.replace_worker(SIGKILL)
    await asyncio.sleep(seconds)


async def stop_worker(stage: Stage, seconds: float) -> None:
    """A worker's machine stands still."""
    stage.workers[0].signal(SIGSTOP)
    await asyncio.sleep(seconds)
    stage.workers[0].signal(SIGCONT)


async def restart_workers(stage: Stage, seconds: float) -> None:
    """A deploy of the workers."""
    for _ in range(2):
        await stage.replace_worker(SIGTERM)
    await asyncio.sleep(seconds / 2)


async def kill_gateway(stage: Stage, seconds: float) -> None:
    """A gateway runs out of memory, and is started again."""
    await stage.replace_gateway(SIGKILL)
    await asyncio.sleep(seconds)


async def restart_gateways(stage: Stage, seconds: float) -> None:
    """A deploy of the gateways, one after the other."""
    for _ in range(2):
        await stage.replace_gateway(SIGTERM)
    await asyncio.sleep(seconds / 2)


async def crm_fails(stage: Stage, seconds: float) -> None:
    """The CRM answers 5xx, hangs and resets."""
    stage.crm.put(CRM_FAILS)
    await asyncio.sleep(seconds)
    stage.crm.put("")


async def crm_lies(stage: Stage, seconds: float) -> None:
    """The CRM answers with pages of its ingress, garbage, too much, and responses that nobody asked for."""
    stage.crm.put(CRM_LIES)
    await asyncio.sleep(seconds)
    stage.crm.put("")


async def redis_refuses(stage: Stage, seconds: float) -> None:
    """Redis is full."""
    await stage.redis("CONFIG", "SET", "maxmemory", "1")
    await asyncio.sleep(seconds)
    await stage.redis("CONFIG", "SET", "maxmemory", "0")


async def redis_stops(stage: Stage, seconds: float) -> None:
    """Redis stands still."""
    stage.valkey.signal(SIGSTOP)
    await asyncio.sleep(seconds)
    stage.valkey.signal(SIGCONT)


async def redis_restarts(stage: Stage, seconds: float) -> None:
    """Redis is killed, and comes back with nothing."""
    stage.valkey.kill()
    await asyncio.sleep(seconds / 2)
    await asyncio.to_thread(stage.valkey.start)
    await asyncio.sleep(seconds / 2)


async def slow_log_reader(stage: Stage, seconds: float) -> None:
    """Nobody reads what the processes write."""
    processes = [*stage.gateways, *stage.workers]
    for process in processes:
        process.pause()
    await asyncio.sleep(seconds)
    for process in processes:
        process.resume()


async def silent_connections(stage: Stage, seconds: float) -> None:
    """300 clients connect to each gateway, and say nothing."""
    with ExitStack() as stack:
        for target in stage.balancer.targets:
            for _ in range(300):
                _, writer = await asyncio.open_connection(*target.callbacks)
                stack.callback(writer.close)
        await asyncio.sleep(seconds)


async def reload_by_signal(stage: Stage, seconds: float) -> None:
    """A new configuration, and SIGHUP for all."""
    stage.configure(fresh="400ms")
    for process in (*stage.gateways, *stage.workers):
        process.signal(SIGHUP)
    await asyncio.sleep(seconds)


async def reload_by_itself(stage: Stage, seconds: float) -> None:
    """A new configuration that all find by themselves, then one that is faulty."""
    stage.configure(fresh="300ms")
    await asyncio.sleep(max(5.0, seconds / 2))
    stage.config.write_text("nonsense")
    await asyncio.sleep(max(5.0, seconds / 2))
    stage.configure(fresh="300ms")


FAULTS = (
    Fault("quiet", quiet),
    Fault("worker killed", kill_worker),
    Fault("worker stopped", stop_worker),
    Fault("workers restarted", restart_workers),
    Fault("gateway killed", kill_gateway, kills_gateway=True),
    Fault("gateways restarted", restart_gateways),
    Fault("CRM fails", crm_fails),
    Fault("CRM lies", crm_lies),
    Fault("Redis refuses writes", redis_refuses),
    Fault("Redis stopped", redis_stops),
    Fault("Redis restarted", redis_restarts),
    Fault("log reader sleeps", slow_log_reader),
    Fault("300 silent connections", silent_connections),
    Fault("reload by SIGHUP", reload_by_signal),
    Fault("reload of a changed file", reload_by_itself),
)
