"""Daphne's name for the module of the command; the code is in launch/command.py."""

from daphne_like.launch.command import CommandLineInterface

__all__ = ["CommandLineInterface"]
