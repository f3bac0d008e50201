"""A certificate that is renewed on disk is used by new connections; half a pair changes nothing."""

import asyncio
import ssl
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from gateway.cli import main
from gateway.edge.certificate import Certificate
from gateway.front.app import Gateway, gateway
from tests.desk import Place
from tests.tls import self_signed


async def serial(address: tuple[str, int], name: str | None = None) -> bytes:
    """Return the certificate that a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(*address, ssl=context, server_hostname=name or "")
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return shown


async def pair(directory: Path) -> tuple[Path, Path]:
    """Return a new pair in a folder of its own."""
    await asyncio.to_thread(directory.mkdir)
    return await self_signed(directory)


def copy(source: Path, target: Path) -> None:
    """Write a file's content into another file."""
    target.write_bytes(source.read_bytes())


def looked_after(running: Gateway) -> Certificate:
    """Return the gateway's certificate."""
    assert running.certificate is not None
    return running.certificate


@pytest.mark.parametrize("name", [None, "crm.example.com"], ids=["no-name", "named"])
async def test_renewed_certificate_is_shown_to_new_connections(
    place: Place, tmp_path: Path, name: str | None
) -> None:
    """A restart each ninety days would be one too many. Clients without a server name see it, too."""
    cert, key = await pair(tmp_path / "used")
    new_cert, new_key = await pair(tmp_path / "new")
    async with gateway(place.catalog({"gateway.tls": {"cert": str(cert), "key": str(key)}})) as running:
        before = await serial(running.callbacks, name)
        copy(new_cert, cert)  # half written: the key does not belong to it
        with capture_logs() as lines:
            await looked_after(running).look(asked=True)
        assert [line["event"] for line in lines] == ["certificate.refused"]
        assert lines[0]["reason"] == "the key does not belong to the certificate"
        assert await serial(running.callbacks, name) == before
        copy(new_key, key)
        with capture_logs() as lines:
            await looked_after(running).look(asked=False)
            await looked_after(running).look(asked=False)
        assert [line["event"] for line in lines] == ["certificate.reloaded"]
        assert await serial(running.callbacks, name) == ssl.PEM_cert_to_DER_cert(new_cert.read_text())
        assert await serial(running.callbacks, name) != before


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"", "not a certificate and its key, as PEM"), (b"\xff" * 99, "not a cert")],
)
async def test_unusable_certificate_keeps_the_one_before(
    place: Place, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    """It is told why, in one line."""
    cert, key = await pair(tmp_path / "used")
    async with gateway(place.catalog({"gateway.tls": {"cert": str(cert), "key": str(key)}})) as running:
        before = await serial(running.callbacks)
        await asyncio.to_thread(cert.unlink)
        if content is not None:
            await asyncio.to_thread(cert.write_bytes, content)
        with capture_logs() as lines:
            await looked_after(running).look(asked=True)
        assert [line["event"] for line in lines] == ["certificate.refused"]
        assert reason in lines[0]["reason"]
        assert await serial(running.callbacks) == before


async def test_check_reads_the_pair(place: Place, tmp_path: Path) -> None:
    """A pair that does not fit is found before the gateway starts; a file may be on another machine."""
    cert, key = await pair(tmp_path / "one")
    other, _ = await pair(tmp_path / "two")
    told = {}
    for name, certificate in (("fits", cert), ("not", other), ("away", tmp_path / "nowhere.pem")):
        config = tmp_path / f"{name}.toml"
        tls = {"cert": str(certificate), "key": str(key)}
        config.write_text(place.config({"gateway.tls": tls}))
        result = CliRunner(env=place.environ).invoke(main, ["check", "-c", str(config)])
        told[name] = (result.exit_code, result.output)
    assert told["fits"][0] == 0
    assert "gateway.tls" not in told["fits"][1]
    assert told["not"][0] == 1
    assert "gateway.tls: the key does not belong to the certificate" in told["not"][1]
    assert told["away"][0] == 0
    assert "warning: gateway.tls" in told["away"][1]
    assert "nowhere.pem" in told["away"][1]


async def test_reload_may_name_other_files(place: Place, tmp_path: Path) -> None:
    """A certificate is often replaced by a new file beside the old one."""
    cert, key = await pair(tmp_path / "used")
    new_cert, new_key = await pair(tmp_path / "new")
    async with gateway(place.catalog({"gateway.tls": {"cert": str(cert), "key": str(key)}})) as running:
        await running.reload(place.catalog({"gateway.tls": {"cert": str(new_cert), "key": str(new_key)}}))
        await looked_after(running).look(asked=True)
        assert await serial(running.callbacks) == ssl.PEM_cert_to_DER_cert(new_cert.read_text())
