"""Who may listen on a UNIX path: what is left of dead servers, and what belongs to others."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import CannotListenError

from daphne_like.reactor import unix_path
from tests.support.reactor_carriers import (
    Carried,
    Recorders,
    RecordingProtocol,
    World,
    native_asyncio,
    native_uvloop,
)

DEAD = 2**22 + 1
"""Above the kernel's largest process id."""


def left_behind(path: Path, pid: int | None) -> None:
    """The socket and the lock of a server that was killed; the lock is left out for None."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    if pid is not None:
        Path(f"{path}.lock").symlink_to(str(pid))


def refused(world: World, path: Path) -> str:
    """The sentence with which a port is refused."""
    factory = world.factory(RecordingProtocol)
    with pytest.raises(CannotListenError) as found:
        world.reactor.listenUNIX(str(path), factory, wantPID=True)
    assert factory.starts == 0
    return str(found.value.socketError.strerror)


class PathRules(Carried):
    """IReactorUNIX.listenUNIX with wantPID, which endpoint strings ask for."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "socket"

    def serves(self, world: World, path: Path) -> Any:
        """Listen there, and be reached; the port."""
        factory = world.factory(RecordingProtocol)
        port = world.listen_unix(factory, path, wantPID=True)
        world.dial(socket.AF_UNIX, str(path))
        world.wait(lambda: factory.made)
        assert os.readlink(f"{path}.lock") == str(os.getpid())
        return port

    @pytest.mark.parametrize(
        "pid",
        [
            pytest.param(DEAD, id="of nobody"),
            pytest.param(os.getpid(), id="our own, as in containers"),
            pytest.param(os.getppid(), id="of somebody else by now"),
            pytest.param(1, id="of init"),
            pytest.param(None, id="no lock"),
        ],
    )
    def test_dead_server(self, world: World, path: Path, pid: int | None) -> None:
        """Nobody listens: lock and socket are taken over, whatever number is in the lock."""
        left_behind(path, pid)
        assert self.serves(world, path).getHost().name == os.fsencode(path)

    @pytest.mark.parametrize("pid", [pytest.param(os.getpid(), id="ours"), 1, DEAD])
    def test_lock_alone(self, world: World, path: Path, pid: int) -> None:
        """A lock without a socket is nobody's."""
        Path(f"{path}.lock").symlink_to(str(pid))
        assert self.serves(world, path).getHost().name == os.fsencode(path)

    @pytest.mark.parametrize("pid", [DEAD, pytest.param(os.getpid(), id="ours"), None])
    def test_living_server(self, world: World, path: Path, pid: int | None) -> None:
        """Somebody listens: refused with a sentence, whatever the lock says; he stays reachable."""
        with socket.socket(socket.AF_UNIX) as alive:
            alive.bind(str(path))
            alive.listen()
            if pid is not None:
                Path(f"{path}.lock").symlink_to(str(pid))
            assert refused(world, path) == f"another server listens on {path}"
            alive.accept()[0].close()  # the look
            world.dial(socket.AF_UNIX, str(path))
            alive.accept()[0].close()
        assert pid is None or os.readlink(f"{path}.lock") == str(pid)

    def test_living_server_that_is_busy(self, world: World, path: Path) -> None:
        """A full queue is somebody's."""
        with socket.socket(socket.AF_UNIX) as alive:
            alive.bind(str(path))
            alive.listen(0)
            world.dial(socket.AF_UNIX, str(path))
            assert refused(world, path) == f"another server listens on {path}"

    def test_our_own_port(self, world: World, path: Path) -> None:
        """The same process listens there already."""
        self.serves(world, path)
        assert refused(world, path) == f"another server listens on {path}"

    def test_socket_of_another_kind(self, world: World, path: Path) -> None:
        """A datagram socket is somebody's, and stays."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(str(path))
            assert "cannot be told" in refused(world, path)
        assert path.is_socket()

    @pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling link"])
    def test_no_socket(self, world: World, path: Path, kind: str) -> None:
        """What is no socket is never removed, nor what it points to."""
        target = path.with_name("target")
        if kind == "file":
            path.write_text("a week's work")
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to(target)
        if kind == "link":
            left_behind(target, None)
        before = path.lstat()
        assert refused(world, path) == "it exists and is not a socket"
        assert path.lstat() == before
        assert target.exists() is (kind == "link")
        assert not Path(f"{path}.lock").is_symlink()

    def test_missing_folder(self, world: World, tmp_path: Path) -> None:
        """The system's own words."""
        with pytest.raises(FileNotFoundError):
            world.reactor.listenUNIX(
                str(tmp_path / "nope" / "socket"), world.factory(RecordingProtocol), wantPID=True
            )

    def test_stop(self, world: World, path: Path) -> None:
        """Socket and lock go with the port."""
        world.stop(self.serves(world, path))
        assert list(path.parent.iterdir()) == []

    def test_stop_when_the_file_has_gone(self, world: World, path: Path) -> None:
        """Somebody has cleaned up already."""
        port = self.serves(world, path)
        path.unlink()
        Path(f"{path}.lock").unlink()
        world.stop(port)
        assert world.logged == []

    def test_stop_when_another_server_is_there(self, world: World, path: Path) -> None:
        """Its socket and its lock stay."""
        port = self.serves(world, path)
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen()
            lock = Path(f"{path}.lock")
            lock.unlink()
            lock.symlink_to(str(DEAD))
            world.stop(port)
            world.dial(socket.AF_UNIX, str(path))
        assert os.readlink(lock) == str(DEAD)

    def test_stop_of_an_adopted_port(self, world: World, path: Path) -> None:
        """The file is his who has made it: systemd goes on listening there."""
        with socket.socket(socket.AF_UNIX) as theirs:
            theirs.bind(str(path))
            theirs.listen()
            world.stop(world.adopt(theirs, world.factory(RecordingProtocol)))
            world.dial(socket.AF_UNIX, str(path))
            theirs.accept()[0].close()  # whoever comes is his
        assert path.is_socket()


class TestOnUvloop(PathRules):
    make_reactor = native_uvloop


class TestOnAsyncio(PathRules):
    make_reactor = native_asyncio


class TestAlone:
    """Two servers that start at the same moment."""

    def test_one_at_a_time(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who comes second waits, within bounds; then nothing is kept, and nothing left behind."""
        monkeypatch.setattr(unix_path, "WAIT_SECONDS", 0.05)
        path = os.fsencode(tmp_path / "socket")
        look = os.open(tmp_path, os.O_RDONLY)
        with unix_path.directory_lock(path):
            assert not unix_path.try_lock(look)
        assert unix_path.try_lock(look)
        before = time.monotonic()
        with unix_path.directory_lock(path):
            assert time.monotonic() - before >= 0.05
        fcntl.flock(look, fcntl.LOCK_UN)
        os.close(look)
        assert list(tmp_path.iterdir()) == []

    def test_from_the_look_to_listening(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A port keeps others out while it looks, binds and listens."""
        look = os.open(tmp_path, os.O_RDONLY)
        free: list[bool] = []

        class Listens(Recorders):
            def startFactory(self) -> None:
                free.append(unix_path.try_lock(look))

        monkeypatch.setattr(
            unix_path, "remove_stale", lambda _: free.append(unix_path.try_lock(look))
        )
        world = World(native_uvloop())
        world.listen_unix(Listens(RecordingProtocol), tmp_path / "socket", wantPID=True)
        free.append(unix_path.try_lock(look))
        os.close(look)
        world.close()
        assert free == [False, False, True]

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        """Nobody is waited for; the system says what is wrong, as on Twisted's own reactors."""
        world = World(native_uvloop())
        with pytest.raises(FileNotFoundError):
            world.listen_unix(
                world.factory(RecordingProtocol), tmp_path / "nope" / "socket", wantPID=True
            )
        world.close()

    def test_one_of_several_processes(self, tmp_path: Path) -> None:
        """Of servers that find the same dead one's socket at once, one gets it."""
        path = tmp_path / "socket"
        left_behind(path, os.getpid())
        program = (
            "import sys\n"
            "from daphne_like.reactor.core import NativeReactor\n"
            "from daphne_like.reactor import new_event_loop\n"
            "from twisted.internet.protocol import Factory\n"
            "from twisted.internet.error import CannotListenError\n"
            "reactor = NativeReactor(new_event_loop())\n"
            "print('ready', flush=True)\n"
            "sys.stdin.readline()\n"
            "try:\n"
            "    reactor.listenUNIX(sys.argv[1], Factory(), wantPID=True)\n"
            "except CannotListenError as error:\n"
            "    print(error.socketError.strerror, flush=True)\n"
            "else:\n"
            "    print('listens', flush=True)\n"
            "sys.stdin.readline()\n"
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", program, str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        try:
            for process in processes:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
            told = sorted(process.stdout.readline() for process in processes if process.stdout)
        finally:
            for process in processes:
                process.communicate("\n", timeout=20)
        assert told == [f"another server listens on {path}\n"] * 3 + ["listens\n"]
