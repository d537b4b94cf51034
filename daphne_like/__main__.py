"""`python -m daphne_like` is the `daphne-like` command."""

from daphne_like.launch.command import CommandLineInterface

if __name__ == "__main__":
    CommandLineInterface.entrypoint()
