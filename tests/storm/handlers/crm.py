"""Asking the CRM: the part that both other contestants share."""

import asyncio
from collections.abc import Mapping

import aiohttp

from gateway.core.variables import as_text

_AS_OF = {"as_of": "1"}


def client(url: str) -> aiohttp.ClientSession:
    """Return a client that keeps its connections, as many as it takes."""
    return aiohttp.ClientSession(
        url, connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(10), raise_for_status=True
    )


def asks_of(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the lookups that a callback wants, each with its input."""
    return {lookup: variables[lookup] for lookup in variables["node"].split("+")}


async def ask_all(
    crm: aiohttp.ClientSession,
    asks: Mapping[str, str],
    timeout: float,  # noqa: ASYNC109 - the whole of it
) -> tuple[dict[str, str], bool]:
    """Make the lookups in parallel; return the variables had within ``timeout``, and whether all were."""
    lookups = [asyncio.create_task(_ask(crm, lookup, asked)) for lookup, asked in asks.items()]
    done, late = await asyncio.wait(lookups, timeout=timeout)
    for one in late:
        one.cancel()
    variables: dict[str, str] = {}
    for one in done:
        if one.exception() is None:
            variables |= one.result()
    return variables, not late and all(one.exception() is None for one in done)


async def _ask(crm: aiohttp.ClientSession, lookup: str, asked: str) -> dict[str, str]:
    """Return the variables of one lookup; raise whatever goes wrong."""
    if lookup == "customer":
        async with crm.get(f"/customers/{asked}", params=_AS_OF) as response:
            told = await response.json()
        had = {"id": told["id"], "name": told["name"], "phone": told["phone"]}
    elif lookup == "order":
        async with crm.get(f"/orders/{asked}", params=_AS_OF) as response:
            told = await response.json()
        had = {"id": told["id"], "status": told["status"], "total": told["total"]["amount"]}
    else:
        async with crm.post("/orders/search", params=_AS_OF, json={"customer": asked}) as response:
            told = await response.json()
        had = {"customer": told["customer"], "count": len(told["orders"])}
    return {f"{lookup}_{name}": as_text(value) for name, value in {**had, "as_of": told["as_of"]}.items()}
