"""examples/cluster as its files say, each machine a network namespace, deployed under load."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from daphne_like.options import Options
from daphne_like.process.exit import LEAVE_SECONDS
from daphne_like.server import Server
from tests.support import needed
from tests.support.cluster_clients import ROOMS
from tests.support.namespaces import Network
from tests.support.peers import answer_at_once
from tests.support.real_server import COMMAND, DEADLINE, TRACEBACK, Running
from tests.support.supervised import workers

for name in ("channels", "channels_redis", "websockets", "httpx"):
    needed.module(name)

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "examples" / "cluster"
HAPROXY, REDIS, SERVER, UNIT, ENVIRONMENT, README = (
    (CLUSTER / name).read_text()
    for name in (
        "haproxy.cfg", "redis.conf", "daphne-like.toml", "site.service", "site.env", "README.rst"
    )
)  # fmt: skip
HOSTS = dict(re.findall(r"server (\w+) ([\d.]+):8000", HAPROXY))
FRONT, CLIENTS = "10.0.0.10", "10.0.0.20"
CODE = "/srv/site/current"
RESTARTED, FAILED, NO_CODE = "1012", "1011", "None"


class Cluster:
    """The machines of the README, and one more with clients.

    Args:
        folder: takes the place of the folders that the files name.

    Attributes:
        hosts: name of each host -> its server.
        expects_tracebacks: the application fails on purpose.
    """

    expects_tracebacks = False

    def __init__(self, folder: Path) -> None:
        self._using = ExitStack()
        self._folder = folder
        self._admin = folder / "admin.sock"
        redis = re.search(r"^bind (\S+)$", REDIS, re.MULTILINE)
        assert redis is not None
        self._redis_address = redis[1]
        machines = {"front": FRONT, **HOSTS, "redis": redis[1], "clients": CLIENTS}
        self._network = Network(machines)
        self._using.callback(self._network.close)
        self.hosts: dict[str, Running] = {}
        try:
            self._redis = self._start_redis()
            (folder / "daphne-like.toml").write_text(SERVER.replace(CODE, str(CLUSTER)))
            for host in HOSTS:
                self.start(host)
            front = HAPROXY.replace("/run/haproxy/admin.sock", str(self._admin))
            self._start_program("front", "haproxy", "haproxy.cfg", front, "-f")
            for host in HOSTS:
                self.until_used(host)
        except BaseException:
            self.close()
            raise

    def _start_program(
        self, machine: str, program: str, name: str, configuration: str, *words: str
    ) -> subprocess.Popen[bytes]:
        (self._folder / name).write_text(configuration)
        output = self._using.enter_context((self._folder / f"{program}.log").open("w"))
        process = subprocess.Popen(
            [*self._network.on(machine), needed.program(program, program), *words,
             str(self._folder / name)],
            stdout=output, stderr=output,
        )  # fmt: skip
        self._using.callback(process.wait, DEADLINE)
        self._using.callback(process.terminate)
        return process

    def _start_redis(self) -> subprocess.Popen[bytes]:
        configuration = REDIS.replace("/var/lib/redis", str(self._folder))
        return self._start_program("redis", "redis-server", "redis.conf", configuration)

    def restart_redis(self) -> None:
        """`systemctl restart redis-server`."""
        self._redis.terminate()
        assert self._redis.wait(DEADLINE) == 0
        self._redis = self._start_redis()

    def kill(self, host: str) -> None:
        """End all processes of a host at once, as if its power was cut, but for the network."""
        supervisor = self.hosts[host].process
        pids = [one.pid for one in workers(supervisor.pid)]
        supervisor.kill()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        supervisor.wait(DEADLINE)

    def start(self, host: str) -> None:
        """Start the server of a host, as its unit does, and wait until it serves."""
        variables = dict(re.findall(r"^(\w+)=(.*)$", ENVIRONMENT, re.MULTILINE))
        running = Running(
            "--config", str(self._folder / "daphne-like.toml"),
            program=[*self._network.on(host), *COMMAND],
            cwd=self._folder,
            environment={**variables, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.hosts[host] = running
        self._using.callback(self._end, running)
        running.wait_for("serves rooms.asgi:application with 2 workers")

    def restart(self, host: str) -> None:
        """`systemctl restart`: SIGTERM, the end, a start."""
        running = self.hosts[host]
        running.signal(signal.SIGTERM)
        assert running.ended() == 0, running.log
        self.start(host)

    def reload(self, host: str) -> None:
        """`systemctl reload`: SIGHUP, and both workers are replaced."""
        running = self.hosts[host]
        generation = running.log.count("Restarting: generation") + 2
        running.signal(signal.SIGHUP)
        for worker in (1, 2):
            running.wait_for(rf"Worker {worker} \(process \d+, generation {generation}\) is ready")
        running.wait_for(rf"(?s)generation {generation}\) is ready.*(?:has ended.*){{2}}")

    def state(self, host: str) -> str:
        """The state of a host in HAProxy's words."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE)
            try:
                connection.connect(str(self._admin))
            except (FileNotFoundError, ConnectionRefusedError):
                return ""
            connection.sendall(b"show stat\n")
            text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        head, *rows = text.splitlines()
        column = head.split(",").index("status")
        return next(row.split(",")[column] for row in rows if row.startswith(f"site,{host},"))

    def until_used(self, host: str) -> None:
        """Wait until HAProxy sends requests to a host."""
        needed.until(lambda: self.state(host) == "UP", DEADLINE)

    def until_given_up(self, host: str) -> None:
        """Wait until HAProxy sends a host nothing any more."""
        needed.until(lambda: self.state(host) == "DOWN", DEADLINE)

    def messages(self) -> int:
        """How many messages the rooms have; 0 while Redis is away."""
        password = re.search(r"^requirepass (\S+)$", REDIS, re.MULTILINE)
        assert password is not None
        program = needed.program("redis-cli", "redis-tools")
        said = subprocess.run(
            [*self._network.on("redis"), program, "--no-auth-warning",
             "-h", self._redis_address, "-a", password[1],
             "MGET", *(f"{{{room}}}:number" for room in ROOMS)],
            capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        return sum(int(line) for line in said.stdout.split() if line.isdecimal())

    def clients(self) -> subprocess.Popen[str]:
        """The clients, all of them connected."""
        process = subprocess.Popen(
            [*self._network.on("clients"), sys.executable, "-m", "tests.support.cluster_clients",
             FRONT],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._using.callback(process.wait, DEADLINE)
        self._using.callback(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == "all are connected\n"
        return process

    @staticmethod
    def _end(running: Running) -> None:
        if running.process.poll() is None:
            running.signal(signal.SIGINT)
            running.ended()
        running.stop()

    def close(self) -> None:
        """End all processes, then the network."""
        self._using.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()
    for running in made.hosts.values():
        assert made.expects_tracebacks or TRACEBACK not in running.log, running.log


def result(clients: subprocess.Popen[str]) -> Any:
    """The figures of the clients, which stop."""
    told, _ = clients.communicate("", timeout=2 * DEADLINE)
    return json.loads(told)


def check_room(room: Any) -> None:
    """Each member has received each accepted message once, in order, and nothing else."""
    first, *others = room["received"]
    assert [number for number, _ in first] == list(range(1, len(first) + 1))
    assert all(other == first for other in others)
    names = [name for _, name in first]
    assert len(set(names)) == len(names)
    assert {name: number for number, name in first} == room["accepted"]
    assert len(names) > 100


@pytest.mark.parametrize("deploy", [Cluster.reload, Cluster.restart], ids=["reload", "restart"])
def test_rolling_deploy(cluster: Cluster, deploy: Any) -> None:
    """Every host gets new processes: no request fails, and no message is lost or comes twice."""
    clients = cluster.clients()
    for host in HOSTS:
        deploy(cluster, host)
        cluster.until_used(host)
    figures = result(clients)
    assert figures["failures"] == {}
    assert figures["answered"] > 100
    # Everybody has been sent away by at least one host, and never in another way.
    assert figures["closed"].keys() == {RESTARTED}
    rooms = figures["rooms"].values()
    assert figures["closed"][RESTARTED] >= sum(len(room["received"]) for room in rooms)
    for room in rooms:
        check_room(room)


def test_killed_host(cluster: Cluster) -> None:
    """A host dies and comes back: HAProxy asks the other one again, and no message is lost."""
    clients = cluster.clients()
    cluster.kill("host1")
    cluster.until_given_up("host1")
    cluster.start("host1")
    cluster.until_used("host1")
    figures = result(clients)
    assert figures["failures"] == {}
    assert figures["closed"].keys() == {NO_CODE}
    for room in figures["rooms"].values():
        check_room(room)


def test_redis_restarted(cluster: Cluster) -> None:
    """The page is served on; members come back when Redis does, and no message is lost."""
    cluster.expects_tracebacks = True
    clients = cluster.clients()
    before = cluster.messages()
    cluster.restart_redis()
    needed.until(lambda: cluster.messages() > before + 300, DEADLINE)
    figures = result(clients)
    assert figures["failures"].keys() <= {"handshake: 500"}
    assert figures["closed"].keys() == {FAILED}
    for room in figures["rooms"].values():
        check_room(room)


class TestFiles:
    """What the files say about each other."""

    def test_haproxy_notices_before_the_ports_close(self) -> None:
        """A host accepts for longer after SIGTERM than HAProxy needs for its next check."""
        (delay,) = re.findall(r'^shutdown-delay = "(\d+)s"$', SERVER, re.MULTILINE)
        (interval,) = re.findall(r"\binter (\d+)s\b", HAPROXY)
        assert int(delay) >= 2 * int(interval)

    def test_systemd_waits_longer_than_a_stop(self) -> None:
        """TimeoutStopSec= is more than the options allow a stop to take."""
        options = Options(shutdown_delay=3, graceful_timeout=20)
        limit = Server(answer_at_once, ["tcp:0"], options=options).drainer.limit + LEAVE_SECONDS
        (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
        assert limit < int(seconds)

    def test_systemd_finds_no_mistake(self, tmp_path: Path) -> None:
        """`systemd-analyze verify` says nothing about the unit."""
        analyze = needed.program("systemd-analyze", "systemd")
        program = tmp_path / "python"
        program.touch(0o755)
        unit = UNIT.replace("/srv/site/current/venv/bin", str(tmp_path))
        unit = unit.replace("User=site", "User=root").replace("/srv/site", str(tmp_path))
        # systemd before 253 has another name for it, as the comment says.
        unit = unit.replace("Type=notify-reload", "Type=notify")
        (tmp_path / "site.service").write_text(unit)
        verified = subprocess.run(
            [analyze, "verify", "--man=no", "--recursive-errors=no", tmp_path / "site.service"],
            capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip
        assert (verified.stdout, verified.stderr, verified.returncode) == ("", "", 0)

    @pytest.mark.parametrize(
        "name", ["haproxy.cfg", "redis.conf", "site.env", "site.service", "daphne-like.toml"]
    )
    def test_the_readme_names_each_file(self, name: str) -> None:
        """The README says where each file belongs, and its first line says the same."""
        (place,) = re.findall(r"\A# (/\S+)", (CLUSTER / name).read_text())
        assert f"``{name}``" in README
        assert f"``{place}``" in README
