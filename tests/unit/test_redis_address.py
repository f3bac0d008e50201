"""Addresses of Redis: each way to write one is read in one place, and a wrong one shows no secret."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.declared.redis_address import RedisAddress, read_address

LOCAL = (("localhost", 6379),)
WRITTEN = {
    "redis://localhost": RedisAddress(LOCAL),
    "redis://": RedisAddress(LOCAL),
    "redis://localhost:6380/2": RedisAddress((("localhost", 6380),), db=2),
    "redis://localhost/0/": RedisAddress(LOCAL),
    "redis://localhost/?db=3": RedisAddress(LOCAL, db=3),
    "redis://:p%40s%2Fs@localhost": RedisAddress(LOCAL, password="p@s/s"),
    "redis://me:pw@localhost": RedisAddress(LOCAL, username="me", password="pw"),
    "redis://me:p:w@localhost": RedisAddress(LOCAL, username="me", password="p:w"),
    "redis://localhost?username=me&password=p%23w": RedisAddress(LOCAL, username="me", password="p#w"),
    "redis://[::1]:6380/1": RedisAddress((("::1", 6380),), db=1),
    "rediss://a": RedisAddress((("a", 6379),), tls={}),
    "rediss://a?ssl_cert_reqs=none&ssl_check_hostname=false": RedisAddress(
        (("a", 6379),), tls={"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    ),
    "unix:///run/redis.sock": RedisAddress(path="/run/redis.sock"),
    "unix://:pw@/run/redis.sock?db=4": RedisAddress(path="/run/redis.sock", db=4, password="pw"),
    "redis+sentinel://a,b:26380,[::1]/main/2": RedisAddress(
        (("a", 26379), ("b", 26380), ("::1", 26379)), service="main", db=2
    ),
    "redis+sentinel://me:pw@a?sentinel_username=s&sentinel_password=t": RedisAddress(
        (("a", 26379),),
        service="mymaster",
        username="me",
        password="pw",
        sentinel_username="s",
        sentinel_password="t",
    ),
    "rediss+sentinel://a/main": RedisAddress((("a", 26379),), service="main", tls={}),
}
WRONG = {
    "": "must begin with one of redis://",
    "http://a": "must begin with one of redis://",
    "redis:/a": "must begin with one of redis://",
    "redis://:hunter#2@a": "percent-encode",
    "redis://:hunter/2@a": "percent-encode",
    "redis://:hunter?2@a": "percent-encode",
    "redis://:hunter%2@a": "percent-encode",
    "redis://:hunter@2@a": "percent-encode",
    "redis://:hunter2": "has a host that is not",
    "redis://hunter 2": "percent-encode",
    "redis://a:99999": "port",
    "redis://a:0": "port",
    "redis://a:b": "host",
    "redis://::1": "host",
    "redis://a/cache": "database",
    "redis://a/-1": "database",
    "redis://a/1?db=2": "database twice",
    "redis://a/1/2": "too many parts",
    "redis://a,b": "several hosts",
    "redis://a?timeout=1": "option",
    "redis://a?ssl=true": "option",
    "redis://a?protocol=9": "option",
    "redis://a?ssl_ca_certs=x": "option",
    "redis://a?hunter2": "options that are not NAME=VALUE",
    "redis://a?db=1&db=2": "twice",
    "redis://a?sentinel_password=hunter2": "option",
    "rediss://a?ssl_cert_reqs=hunter2": "must be one of",
    "unix://run/redis.sock": "path of a socket",
    "redis+sentinel://a/main/0/1": "too many parts",
}


@pytest.mark.parametrize("text", WRITTEN)
def test_address_is_read(text: str) -> None:
    """As the world writes them."""
    assert read_address(text) == WRITTEN[text]


@pytest.mark.parametrize("text", WRONG)
def test_wrong_address_says_what_to_do_and_shows_no_secret(text: str) -> None:
    """``check`` prints it, and its output is often public."""
    with pytest.raises(ValueError, match=WRONG[text].replace("?", r"\?")) as caught:
        read_address(text)
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize("text", WRITTEN)
def test_address_for_people_has_no_secret(text: str) -> None:
    """And it is an address again."""
    address = WRITTEN[text]
    for shown in (str(address), repr(address)):
        assert not any(secret in shown for secret in ("pw", "p@s", "p#w", "p:w"))
    assert read_address(str(address)).hosts == address.hosts


@given(st.text())
def test_any_text_is_an_address_or_a_fault(text: str) -> None:
    """Never a trace."""
    for scheme in ("redis://", "rediss://", "unix://", "redis+sentinel://", ""):
        with suppress(ValueError):
            assert isinstance(read_address(scheme + text), RedisAddress)
