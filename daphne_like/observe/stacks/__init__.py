"""Finds and describes the places where tasks, frames and threads wait."""
