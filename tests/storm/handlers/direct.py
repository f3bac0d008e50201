"""``python -m tests.storm.handlers.direct PORT CRM_URL``: asks the CRM itself, with one timeout for all."""

import sys

import uvloop

from tests.storm.handlers.crm import ask_all, asks_of, client
from tests.storm.handlers.http import serve

BUDGET = 1.6


async def main(port: int, crm_url: str) -> None:
    """Serve until killed."""
    async with client(crm_url) as crm:

        async def answer(variables: dict[str, str]) -> tuple[dict[str, str], bool]:
            return await ask_all(crm, asks_of(variables), BUDGET)

        await serve(answer, port)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
