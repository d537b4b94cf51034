"""`python -m daphne_like` is the `daphne-like` command."""

from __future__ import annotations

from typing import NoReturn

from daphne_like.process import init


def main() -> NoReturn:
    """Run the command; also the console script."""
    init.serve_in_child()  # before the command and its libraries are loaded
    from daphne_like.launch.command import CommandLineInterface

    CommandLineInterface.entrypoint()


if __name__ == "__main__":
    main()
