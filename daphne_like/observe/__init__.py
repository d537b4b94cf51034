"""What the server tells about itself: access log, stuck applications, blocked event loop."""
