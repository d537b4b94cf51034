"""Where tasks, frames and threads stand."""
