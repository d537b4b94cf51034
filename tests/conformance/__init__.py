"""The Autobahn test suite against a WebSocket server: ``python -m tests.conformance``.

The suite tests RFC 6455 and RFC 7692 from a client's side. It runs on Python 2.7 only, so it is
kept in a folder of its own (:mod:`tests.conformance.suite`) and is no dependency of the project.
"""
