"""Other servers' names for options, and suggestions for mistyped ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LOGGING = "the application configures Python's logging (docs/reference/log.rst)"
PARENT = "twistd daphne-like has it: twistd"

FOREIGN = {
    # uvicorn
    "--host": "-b HOST",
    "--uds": "-u PATH",
    "--reload-delay": "--reload reads the changes of an instant together",
    "--loop": "uvloop is used where it is installed",
    "--ws": "WebSockets are always served",
    "--log-level": "-v N",
    "--no-access-log": "-v 0, or a level for the logger daphne_like.access",
    "--use-colors": "FORCE_COLOR=1 in the environment",
    "--no-use-colors": "NO_COLOR=1 in the environment",
    "--forwarded-allow-ips": "--trusted-proxies LIST, with --proxy-headers",
    "--limit-concurrency": "--max-connections N",
    "--limit-max-requests": "--max-requests N",
    "--timeout-keep-alive": "--keep-alive-timeout N",
    "--timeout-graceful-shutdown": "--graceful-timeout N",
    "--timeout-worker-healthcheck": "--worker-timeout N",
    "--ssl-keyfile": "--tls-key FILE",
    "--ssl-certfile": "--tls-certificate FILE",
    "--ssl-keyfile-password": "--tls-key-password SOURCE",
    "--ssl-ca-certs": "--tls-client-ca FILE",
    "--ssl-cert-reqs": "--tls-client-verify optional|required",
    "--ssl-ciphers": "--tls-ciphers LIST",
    "--ssl-version": "--tls-minimum-version 1.2|1.3",
    "--header": "the application, or the proxy, adds fields to responses",
    "--no-server-header": "--no-server-name",
    "--server-header": "-s NAME",
    "--no-date-header": "the Date field is always sent",
    "--no-proxy-headers": "they are not read unless --proxy-headers is given",
    "--env-file": "the environment is the starting program's business",
    "--ws-max-size": "--websocket-max-message-size N",
    "--ws-max-queue": "messages wait until the application reads them",
    "--ws-ping-interval": "--ping-interval N",
    "--ws-ping-timeout": "--ping-timeout N",
    "--h11-max-incomplete-event-size": "--max-field-section N and --max-request-line N",
    # gunicorn
    "-w": "--workers N",
    "-k": "no worker class is needed: ASGI and WSGI applications are told apart",
    "--worker-class": "no worker class is needed: ASGI and WSGI applications are told apart",
    "--worker-connections": "--max-connections N",
    "--threads": "--wsgi-threads N for a WSGI application",
    "--timeout": "--http-timeout N",
    "--keep-alive": "--keep-alive-timeout N",
    "--limit-request-line": "--max-request-line N",
    "--limit-request-fields": "--max-fields N",
    "--limit-request-field-size": "--max-field-section N",
    "--certfile": "--tls-certificate FILE",
    "--keyfile": "--tls-key FILE",
    "--ca-certs": "--tls-client-ca FILE",
    "--cert-reqs": "--tls-client-verify optional|required",
    "--ciphers": "--tls-ciphers LIST",
    "--access-logfile": "--access-log FILE",
    "--error-logfile": LOGGING,
    "--log-file": LOGGING,
    "--logger-class": LOGGING,
    "--chdir": "--app-dir DIR",
    "--pythonpath": "--app-dir DIR",
    "--preload": "each worker loads the application in an interpreter of its own",
    "-D": f"{PARENT} makes a daemon",
    "--daemon": f"{PARENT} makes a daemon",
    "--pid": "--pid-file FILE; with twistd, twistd --pidfile FILE",
    "--pidfile": "--pid-file FILE; with twistd, twistd --pidfile FILE",
    "--user": f"{PARENT} --uid USER",
    "--group": f"{PARENT} --gid GROUP",
    "--umask": f"{PARENT} --umask MODE; for a UNIX socket --unix-mode MODE",
    "-c": "--config FILE",
    "--check-config": "--check",
    # Hypercorn
    "--insecure-bind": "--https-redirect STRING, or -e for a second endpoint",
    "--quic-bind": "HTTP/3 is not served",
    # Names that people guess
    "--ssl": "--tls-certificate FILE",
    "--tls": "--tls-certificate FILE",
    "--cert": "--tls-certificate FILE",
    "--key": "--tls-key FILE",
    "--verbose": "-v 2",
    "--debug": "-v 3",
    "--quiet": "-v 0",
}
"""Names of other servers' options -> the option to use here, or the reason why there is no option.
"""


def foreign(argument: str, known: Iterable[str]) -> str | None:
    """Return what to use instead of another server's option; None if the name is not listed.

    Args:
        argument: argument of the command line, with or without `=value`.
        known: this command's options, which take precedence.
    """
    name = argument.partition("=")[0]
    return None if name in known else FOREIGN.get(name)


def suggestion(argument: str, known: Iterable[str]) -> str | None:
    """Return the known option with the most similar spelling; None if no option is similar."""
    name = argument.partition("=")[0]
    close = difflib.get_close_matches(name, list(known), 1, 0.7)
    return close[0] if close else None
