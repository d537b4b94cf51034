"""daphne-like with the command's own options, on Twisted's own asyncio reactor.

The command installs the native reactor; this stands for a program that has installed another one.
"""

from __future__ import annotations

import asyncio
import sys

from twisted.internet import asyncioreactor

loop = asyncio.SelectorEventLoop()
asyncio.set_event_loop(loop)
asyncioreactor.install(loop)

from daphne_like.asgi.application import import_application  # noqa: E402
from daphne_like.launch.arguments import make_parser  # noqa: E402
from daphne_like.launch.configuration import load  # noqa: E402
from daphne_like.launch.log_setup import start_logging  # noqa: E402
from daphne_like.listening.strings import endpoint_strings  # noqa: E402
from daphne_like.server import Server  # noqa: E402

if __name__ == "__main__":
    parsed = make_parser(__doc__ or "", "stock").parse_args()
    configuration = load(vars(parsed), {})
    options = configuration.options
    start_logging(options)
    server = Server(
        import_application(configuration.application),
        endpoints=endpoint_strings(options),
        options=options,
    )
    server.run()
    sys.exit(server.exit_status)
