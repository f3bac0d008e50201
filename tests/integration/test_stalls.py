"""A gateway that was held up (a paused machine, a starved container) takes nobody's silence from that."""

import asyncio
import os
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest
from structlog.testing import capture_logs

from gateway.front.app import gateway
from tests.desk import Place, when
from tests.integration.test_door import answer, request
from tests.processes import GatewayProcess

IDLE = 0.4
ROUNDS = 8


async def test_request_that_came_while_the_process_stood_is_answered(place: Place, tmp_path: Path) -> None:
    """A connection is idle when nothing has come, not when nothing has been read."""
    config = tmp_path / "deskgate.toml"
    config.write_text(
        place.config({"gateway.idle_timeout": f"{IDLE}s", "gateway.header_timeout": f"{IDLE}s"}, budget="1s")
    )
    async with GatewayProcess(config, place) as running:
        address = await running.address()
        kept = [await asyncio.open_connection(*address) for _ in range(20)]
        for reader, writer in kept:
            writer.write(request())
            assert (await answer(reader))[0] == 200
        for _ in range(ROUNDS):
            running.signal(SIGSTOP)
            for number, (_, writer) in enumerate(kept):
                os.write(writer.get_extra_info("socket").fileno(), request()[: 20 if number % 2 else None])
            await asyncio.sleep(IDLE * 2)  # for which nothing is heard
            running.signal(SIGCONT)
            for number, (reader, writer) in enumerate(kept):
                if number % 2:
                    writer.write(request()[20:])
                assert (await answer(reader))[0] == 200
        for _, writer in kept:
            writer.close()


@pytest.mark.parametrize(("sent", "status"), [(request(), 200), (request()[:-5], 400)])
async def test_last_request_is_answered_however_late_its_turn(
    place: Place, monkeypatch: pytest.MonkeyPatch, sent: bytes, status: int
) -> None:
    """Its client sends no more, and the time for more is over before the turn of what was read."""
    monkeypatch.setattr("gateway.edge.connections.HALF_CLOSED", 0.0)
    async with gateway(place.catalog()) as running:
        reader, writer = await asyncio.open_connection(*running.callbacks)
        await when(lambda: bool(running.connections))
        with capture_logs() as lines:
            running.connections[0].data_received(sent)  # both in one turn of the loop, as after a pause
            running.connections[0].eof_received()
            assert (await answer(reader))[0] == status
        assert {line["event"] for line in lines} == {"callback.refused"}  # no bug
        writer.close()
