"""What people who subclass Daphne's command do, printed as JSON: a line for each command line."""

from __future__ import annotations

import json
import sys

from daphne_like.launch.command import CommandLineInterface


class Server:
    """Keeps what it is made with."""

    exit_status = 7

    def __init__(self, *positional, **keywords):
        self.positional = positional
        self.keywords = keywords
        self.runs = 0

    def run(self):
        self.runs += 1


class Command(CommandLineInterface):
    server_class = Server

    def load_asgi_app(self, path):
        return f"loaded {path}"


for line in sys.stdin:
    command = Command()
    status = command.run(json.loads(line))
    seen = command.server
    print(
        json.dumps(
            {
                "status": status,
                "positional": len(seen.positional),
                "keywords": seen.keywords,
                "runs": seen.runs,
            },
            default=str,
        )
    )
