"""Channels consumers whose `disconnect` hangs, each in a way that people have hung theirs."""
