"""The parser of `fd:` endpoints, without a reactor."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from zope.interface.verify import verifyObject

from daphne_like.listening.fd import FileDescriptorParser, descriptor_endpoint, listening_family

parser = FileDescriptorParser()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


class TestDescriptors:
    """`fd:fileno=N[:domain=INET|INET6|UNIX]`."""

    def test_interface(self) -> None:
        """It is what Twisted looks for."""
        assert verifyObject(IStreamServerEndpointStringParser, parser)

    def test_endpoint(self, listening: socket.socket) -> None:
        """The endpoint adopts the descriptor with the socket's own family."""
        endpoint = parser.parseStreamServer(None, str(listening.fileno()))
        assert isinstance(endpoint, AdoptedStreamServerEndpoint)
        assert (endpoint.fileno, endpoint.addressFamily) == (listening.fileno(), socket.AF_INET)

    def test_domain_is_found_out(self, tmp_path: Path, listening: socket.socket) -> None:
        """Without a domain the socket tells."""
        assert listening_family(listening.fileno()) == socket.AF_INET
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as sock:
            assert listening_family(sock.fileno()) == socket.AF_INET6
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(tmp_path / "socket"))
            sock.listen()
            assert listening_family(sock.fileno()) == socket.AF_UNIX

    def test_right_domain(self, listening: socket.socket) -> None:
        """A domain that is given may agree."""
        assert parser.parseStreamServer(None, str(listening.fileno()), domain="INET")

    @pytest.mark.parametrize("domain", ["INET6", "UNIX", "AF_INET", "PACKET", ""])
    def test_wrong_domain(self, listening: socket.socket, domain: str) -> None:
        """A domain that disagrees, or is none, is refused."""
        with pytest.raises(ValueError, match=f"is INET, not '{domain}'"):
            parser.parseStreamServer(None, str(listening.fileno()), domain=domain)

    @pytest.mark.parametrize("number", ["", "-1", "three", "3.0"])
    def test_not_a_number(self, number: str) -> None:
        """A descriptor is a number in decimal."""
        with pytest.raises(ValueError, match="expected a descriptor's number"):
            parser.parseStreamServer(None, number)

    def test_not_open(self, listening: socket.socket) -> None:
        """A closed descriptor is refused."""
        number = os.dup(listening.fileno())
        os.close(number)
        with pytest.raises(ValueError, match=f"descriptor {number} is not usable: Bad file"):
            parser.parseStreamServer(None, str(number))

    def test_not_a_socket(self) -> None:
        """A file is refused."""
        with open(os.devnull) as file, pytest.raises(ValueError, match="is not a socket"):
            parser.parseStreamServer(None, str(file.fileno()))

    def test_not_a_stream(self) -> None:
        """A datagram socket is refused."""
        datagrams = socket.socket(type=socket.SOCK_DGRAM)
        with datagrams as sock, pytest.raises(ValueError, match="is not a stream socket"):
            parser.parseStreamServer(None, str(sock.fileno()))

    def test_not_listening(self) -> None:
        """A socket that does not listen is refused."""
        with socket.socket() as sock, pytest.raises(ValueError, match="not a listening socket"):
            parser.parseStreamServer(None, str(sock.fileno()))

    def test_descriptor_is_left_alone(self, listening: socket.socket) -> None:
        """Looking changes nothing: the descriptor still blocks, listens and is the only one."""
        before = len(os.listdir("/dev/fd"))
        for domain in (None, "UNIX"):
            try:
                descriptor_endpoint(None, str(listening.fileno()), domain)
            except ValueError:
                pass
        assert len(os.listdir("/dev/fd")) == before
        assert os.get_blocking(listening.fileno())
        socket.create_connection(listening.getsockname()).close()
