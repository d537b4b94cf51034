"""Ways to start the server: the command, twistd, and calls from a program."""
