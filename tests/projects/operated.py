"""An application for worker processes, with a path for each way to end, to block and to leak.

It can sleep while it is imported (IMPORT_SECONDS), and compute before each answer (WORK_SECONDS).
"""

import asyncio
import ctypes
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from urllib.parse import parse_qs

time.sleep(float(os.environ.get("IMPORT_SECONDS", "0")))
WORK_SECONDS = float(os.environ.get("WORK_SECONDS", "0"))

kept = []
children = []


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await websocket(receive, send)
    else:
        query = {name: value[0] for name, value in parse_qs(scope["query_string"].decode()).items()}
        name = scope["path"].strip("/") or "process"
        if name == "ends":
            await answer(send, {key: scope[key] for key in ("scheme", "client", "server")})
            return
        await globals()[f"do_{name}"](receive, send, **query)


async def lifespan(receive, send):
    while True:
        event = await receive()
        await send({"type": event["type"] + ".complete"})
        if event["type"] == "lifespan.shutdown":
            return


async def websocket(receive, send):
    """Say which process this is, then echo."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": str(os.getpid())})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


async def answer(send, value):
    body = json.dumps(value).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def do_process(receive, send):
    if WORK_SECONDS:
        end = time.perf_counter() + WORK_SECONDS
        while time.perf_counter() < end:
            pass
    await answer(send, {"pid": os.getpid(), "words": sys.argv[1:]})


async def do_slow(receive, send, seconds):
    await asyncio.sleep(float(seconds))
    await do_process(receive, send)


async def do_segv(receive, send):
    ctypes.string_at(0)


async def do_exit(receive, send, status):
    os._exit(int(status))


async def do_kill(receive, send):
    os.kill(os.getpid(), signal.SIGKILL)


async def do_sleep(receive, send, seconds="60"):
    time.sleep(float(seconds))
    await do_process(receive, send)


async def do_expression(receive, send):
    re.match("(a*)*b", "a" * 40)


async def do_gil(receive, send):
    """Wait in C, and let no other thread run."""
    ctypes.PyDLL(None).sleep(60)


async def do_events(receive, send):
    """A stream that ends when its client has gone, or the server stops."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass
    await send({"type": "http.response.body", "body": b"data: end\n\n"})


async def do_grow(receive, send, mebibytes):
    kept.append(bytearray(int(mebibytes) * 1048576))
    await do_process(receive, send)


async def do_popen(receive, send):
    """Start a program that gets all descriptors that can be inherited."""
    children.append(subprocess.Popen(["sleep", "120"], close_fds=False))
    await answer(send, {"child": children[-1].pid})


async def do_fork(receive, send):
    child = os.fork()
    if not child:
        try:
            os.execvp("sleep", ["sleep", "120"])
        finally:
            os._exit(1)
    await answer(send, {"child": child})


async def do_garbage(receive, send, kind="text"):
    """Write to the control channel, which is a UNIX socket without a name."""
    lines = {
        "text": b"no such message\n",
        "version": b'{"v": 99, "type": "ready"}\n',
        "field": b'{"v": 1, "type": "replace", "reason": 5}\n',
        "long": b"x" * 2_000_000,
        "nested": b"[" * 200_000 + b"\n",
    }
    for number in range(3, 64):
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
        except OSError:
            continue
        with socket.socket(fileno=os.dup(number)) as found:
            if found.family == socket.AF_UNIX and found.getsockname() == "" and is_pair(found):
                octets = lines[kind]
                while octets:
                    try:
                        octets = octets[found.send(octets) :]
                    except BlockingIOError:
                        time.sleep(0.01)
                    except BrokenPipeError:
                        return
    await do_process(receive, send)


def is_pair(found):
    """Tell whether the other end is a process of this server, and not this process itself."""
    credentials = found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], sys.byteorder) == os.getppid()
