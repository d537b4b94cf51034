"""The module of the command by Daphne's name; the code is in launch/command.py."""

from daphne_like.launch.command import CommandLineInterface

__all__ = ["CommandLineInterface"]
