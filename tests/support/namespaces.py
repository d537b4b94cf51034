"""Machines with their own addresses on one network, as network namespaces of Linux."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests.support import needed

DEADLINE = 30.0


class Network:
    """Namespaces that a bridge in the first one connects.

    Args:
        addresses: name of each machine -> its address.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        if not sys.platform.startswith("linux") or os.getuid():
            pytest.skip("Network namespaces need Linux and root.")
        self._ip = needed.program("ip", "iproute2")
        self._names = {name: f"daphne-like-{os.getpid()}-{name}" for name in addresses}
        self._made: list[str] = []
        try:
            self._build(addresses)
        except subprocess.CalledProcessError as error:
            self.close()
            pytest.skip(f"Network namespaces are not permitted here: {error.stderr.strip()}")
        except BaseException:
            self.close()
            raise

    def _build(self, addresses: Mapping[str, str]) -> None:
        for name in addresses:
            self._run("netns", "add", self._names[name])
            self._made.append(name)
            self._run("-n", self._names[name], "link", "set", "lo", "up")
        first, *others = addresses
        middle = self._names[first]
        self._run("-n", middle, "link", "add", "bridge", "type", "bridge")
        self._run("-n", middle, "addr", "add", f"{addresses[first]}/24", "dev", "bridge")
        self._run("-n", middle, "link", "set", "bridge", "up")
        for name in others:
            end = self._names[name]
            self._run("-n", middle, "link", "add", name, "type", "veth", "peer", "name", "eth0",
                      "netns", end)  # fmt: skip
            self._run("-n", middle, "link", "set", name, "master", "bridge", "up")
            self._run("-n", end, "addr", "add", f"{addresses[name]}/24", "dev", "eth0")
            self._run("-n", end, "link", "set", "eth0", "up")

    def _run(self, *words: str) -> None:
        subprocess.run(
            [self._ip, *words], check=True, capture_output=True, text=True, timeout=DEADLINE
        )

    def on(self, name: str) -> list[str]:
        """The words in front of a command that runs on this machine."""
        return [self._ip, "netns", "exec", self._names[name]]

    def close(self) -> None:
        """Remove all machines; their processes have ended before."""
        for name in self._made:
            subprocess.run(
                [self._ip, "netns", "delete", self._names[name]], check=False, timeout=DEADLINE
            )
        self._made.clear()
