"""PROXY headers: what balancers send, whole or in pieces, in time or just so."""

import socket
import struct
import time

import pytest

from relay.smtp.proxy import read_client
from tests.support.smtp import House

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
ALLOWED, BALANCER = b"\x0a\x01\x02\x03", b"\x0a\x00\x00\x01"


def version_2(command, addresses, *, family=0x11, further=b""):
    tail = addresses + further
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack("!H", len(tail)) + tail


def ipv4(client, port=40_000):
    return client + BALANCER + struct.pack("!HH", port, 25)


def tlv(kind, value):
    return bytes([kind]) + struct.pack("!H", len(value)) + value


@pytest.mark.parametrize("octets", [b"\x0a\x01\x02\x03", b"\xc0\x00\x02\x07"])
def test_local_is_the_balancer_itself_whatever_addresses_it_names(house, octets):
    """A health check was taken for a client of the address that it happened to carry."""
    with house.connect("proxy") as client:
        client.send(version_2(0, ipv4(octets)))
        assert client.reply().startswith("554 5.7.1 ")


def test_a_header_in_pieces_of_one_octet_counts_as_often_as_it_has_octets(house):
    """What was asked for was counted in place of what came: a long header in pieces was refused."""
    with house.connect("proxy") as client:
        for octet in version_2(1, ipv4(ALLOWED), further=tlv(0x04, bytes(250))):
            client.send(bytes([octet]))
            time.sleep(0.001)
        assert client.reply().startswith("220 ")


@pytest.mark.parametrize(
    "header",
    [
        version_2(1, ipv4(ALLOWED), further=tlv(0x02, b"relay.test") + tlv(0x20, bytes(5))),
        version_2(1, ipv4(ALLOWED), further=tlv(0x04, bytes(3_000))),
        version_2(1, ipv4(ALLOWED), further=b"\x02\xff\xff"),  # a fact that is cut: none is needed
        version_2(1, bytes(10) + b"\xff\xff" + ALLOWED + bytes(16) + struct.pack("!HH", 1, 25), family=0x21),
        b"PROXY TCP6 ::ffff:10.1.2.3 ::1 40000 25\r\n",
    ],
    ids=["facts", "long", "cut-fact", "mapped-v2", "mapped-v1"],
)
async def test_headers_that_name_a_client_of_an_allowed_network(house, header):
    """And it has one name: its lane, its limits and its message sent again elsewhere go by that."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.sendall(header)
        assert await read_client(near, "127.0.0.1") == "10.1.2.3"
    with house.connect("proxy") as client:
        client.send(header + b"NOOP\r\n")
        assert client.reply().startswith("220 ")
        assert client.reply().startswith("250 ")


@pytest.mark.parametrize(
    "header",
    [
        version_2(1, ipv4(ALLOWED)[:-1]),
        version_2(1, ipv4(ALLOWED), further=bytes(5_000)),
        version_2(2, ipv4(ALLOWED)),
        SIGNATURE + b"\x31\x11\x00\x0c" + ipv4(ALLOWED),
        b"PROXY TCP4 10.1.2.3 10.0.0.1 40000\r\n",
        b"PROXY TCP4 10.1.2.3 10.0.0.1 40000 25\n",
        b"PROXY TCP4 ::1 ::1 40000 25\r\n",
        b"PROXY TCP4 10.1.2.3 10.0.0.1 40000 99999\r\n",
        b"PROXY\r\n",
        b"PROXY " + b"x" * 200 + b"\r\n",
        b"PROXY " + b"x" * 9_000,
    ],
    ids=lambda header: repr(header[:24]),
)
def test_headers_that_are_none_are_closed_without_a_word(house, header):
    with house.connect("proxy") as client:
        client.send(header)
        assert client.is_closed()
        assert not client._buffer


def test_a_header_that_came_in_time_is_read_by_a_loop_that_was_late(tmp_path):
    """A relay that was held for longer than the header may take closed on those whose header lay there."""
    with House(tmp_path) as house, house.connect("proxy", timeout=30) as client:
        until = time.monotonic() + 10
        while not house.service.server.guard.sessions.count:
            assert time.monotonic() < until
            time.sleep(0.01)
        house.loop.call_soon_threadsafe(time.sleep, 5.5)
        client.send(b"PROXY TCP4 10.1.2.3 10.0.0.1 40000 25\r\n")
        assert client.reply().startswith("220 ")


def test_a_bad_header_is_one_line_of_the_log(house, caplog):
    """The parser's own logger warned of each one, past the lines that strangers are granted a second."""
    with house.connect("proxy") as client:
        client.send(b"EHLO x\r\n")
        assert client.is_closed()
    assert not caplog.records
