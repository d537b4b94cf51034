"""TLS as a carrier of the transports' rules: a world whose ports and peers speak it."""

from __future__ import annotations

import gc
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from daphne_like.tls.certificates import Certificates, TLSSettings
from daphne_like.tls.factory import SecureFactory
from tests.support.certificates import Authority
from tests.support.reactor_carriers import Carried, World


class Peer:
    """The client's end: a socket's methods, with TLS over them."""

    def __init__(self, world: World, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.world = world
        self.sock = sock
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.into, self.out, server_hostname="localhost")
        self.resets = False
        self.getsockname, self.getpeername = sock.getsockname, sock.getpeername

    async def do(self, call: Callable[[], Any]) -> Any:
        """One operation of TLS, with the socket's part of it."""
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                await self.flush()
                data = await self.world.loop.sock_recv(self.sock, 65536)
                self.into.write(data) if data else self.into.write_eof()
            finally:
                await self.flush()

    async def flush(self) -> None:
        if data := self.out.read():
            await self.world.loop.sock_sendall(self.sock, data)

    async def send_all(self, data: bytes) -> None:
        for start in range(0, len(data), 65536):
            self.tls.write(data[start : start + 65536])
            await self.flush()

    def send(self, data: bytes) -> None:
        if data:
            self.world.run(self.send_all(data))

    def close_notify(self) -> None:
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass
        if data := self.out.read():
            self.sock.send(data)

    def shutdown(self, how: int) -> None:
        self.close_notify()
        self.sock.shutdown(how)

    def setsockopt(self, *arguments: Any) -> None:
        self.resets = True
        self.sock.setsockopt(*arguments)

    def close(self) -> None:
        if not self.resets:
            self.close_notify()
        self.sock.close()


class SecureWorld(World):
    """A world in which every TCP port is one of TLS."""

    def __init__(self, reactor: Any, certificates: Certificates, client: ssl.SSLContext) -> None:
        super().__init__(reactor)
        self.certificates = certificates
        self.client = client

    def listen(self, factory: Any, interface: str = "127.0.0.1", port: int = 0) -> Any:
        secure = SecureFactory(self.certificates, factory, 10, self.reactor)
        return super().listen(secure, interface, port)

    def dial(self, family: int, address: Any) -> Any:
        peer = Peer(self, super().dial(family, address), self.client)
        self.run(peer.do(peer.tls.do_handshake))
        return peer

    async def send_all(self, peer: Any, data: bytes) -> None:
        await peer.send_all(data)

    async def receive(self, peer: Any, octets: int) -> bytes:
        got = bytearray()
        while len(got) < octets:
            size = min(65536, octets - len(got))
            try:
                data = await peer.do(lambda size=size: peer.tls.read(size))
            except ssl.SSLZeroReturnError:  # instead of b"" where the peer has closed, too
                break
            if not data:
                break
            got += data
        return bytes(got)


class Secured(Carried):
    """Before a class of rules: each rule over TLS."""

    make_reactor: Callable[[], Any]

    @pytest.fixture
    def world(self, tmp_path: Any) -> Iterator[World]:
        authority = Authority()
        certificate, key = authority.issue("localhost").write(tmp_path, "localhost")
        certificates = Certificates(TLSSettings((certificate,), (key,)))
        world = SecureWorld(type(self).make_reactor(), certificates, authority.client())
        gc.freeze()  # what was there before is not walked below
        yield world
        world.close()
        gc.collect()
