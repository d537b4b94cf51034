"""This process and its children: signals, exit, workers."""
