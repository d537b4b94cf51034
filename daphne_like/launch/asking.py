"""`daphne-like status` and `stacks`: ask a running server on its `--status` endpoint."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

from daphne_like.launch.arguments import Parser
from daphne_like.status.client import StatusClient
from daphne_like.status.guard import read_token
from daphne_like.status.terminal import CLEAR, write_stacks, write_status

LIVE_SECONDS = 1.0
MAX_WIDTH = 200
INSTANCES = {"limit": 200}


def make_asking_parser(name: str, program: str) -> argparse.ArgumentParser:
    """Return the parser of the arguments after `status` or `stacks`.

    Args:
        name: which of the two.
        program: name of the command.
    """
    described = {
        "status": "Show what a running server does, again and again on a terminal.",
        "stacks": "Print where every application instance of a running server waits.",
    }
    parser = Parser(prog=f"{program} {name}", description=described[name])
    parser.add_argument(
        "target", metavar="SOCKET|URL",
        help="its --status endpoint: path of a UNIX socket, host:port, or a URL",
    )  # fmt: skip
    parser.add_argument(
        "--token", metavar="SOURCE", help="its --status-token: env:NAME or file:PATH"
    )
    parser.add_argument("--json", action="store_true", help="print the data as JSON, once")
    if name == "status":
        parser.add_argument("--once", action="store_true", help="print it once")
    return parser


def ask(name: str, program: str, args: list[str]) -> int:
    """Ask a server and print the answer.

    Args:
        name: "status" or "stacks".
        program: name of the command.
        args: the arguments after the name.
    Returns:
        The exit status.
    Raises:
        ConfigurationError: the server cannot be asked, or does not answer.
    """
    parsed = make_asking_parser(name, program).parse_args(args)
    client = StatusClient(parsed.target, parsed.token and read_token(parsed.token, what="--token"))
    colours = sys.stdout.isatty()
    if parsed.json:
        path = "/status.json" if name == "status" else "/instances.json"
        sys.stdout.write(json.dumps(client.get(path), indent=2) + "\n")
    elif name == "stacks":
        sys.stdout.write(_stacks(client, colours))
    elif parsed.once or not colours:
        sys.stdout.write(_status(client, colours))
    else:
        _repeat(lambda: _status(client, colours))
    return 0


def _status(client: StatusClient, colours: bool) -> str:
    return write_status(
        client.get("/status.json"),
        client.get("/instances.json", INSTANCES),
        client.get("/history.json")["points"],
        min(shutil.get_terminal_size((120, 40)).columns, MAX_WIDTH),
        colours,
    )


def _stacks(client: StatusClient, colours: bool) -> str:
    listing = client.get("/instances.json", INSTANCES)
    threads: dict[int, str] = {}
    for silent in listing["silent"]:
        slot = silent["worker"]
        threads[slot] = client.get("/threads.json", {"worker": slot})["text"]
    return write_stacks(listing, threads, colours=colours)


def _repeat(write: Callable[[], Any]) -> None:
    try:
        while True:
            text = write()
            sys.stdout.write(CLEAR + text)
            sys.stdout.flush()
            time.sleep(LIVE_SECONDS)
    except KeyboardInterrupt:
        sys.stdout.write("\n")
