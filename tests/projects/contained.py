"""A bare application that starts processes, in a container of its own."""

import asyncio
import errno
import os
import subprocess
import time
from pathlib import Path

if "SLOW_IMPORT" in os.environ:
    print("importing", flush=True)
    time.sleep(60)


async def application(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("not supported")
    body = await globals()[scope["path"].strip("/")]()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})


async def hello():
    return f"{os.getpid()} of {os.getppid()}"


async def confinement():
    """The user, its capabilities, and which folders it can write to."""
    status = Path("/proc/self/status").read_text()
    capabilities = status.partition("CapEff:")[2].split()[0]
    folders = [str(Path.cwd()), "/tmp", "/var/tmp", "/"]
    writable = []
    for folder in folders:
        try:
            os.close(os.open(f"{folder}/written", os.O_CREAT | os.O_WRONLY))
            writable.append(folder)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
    return f"{os.getuid()} {os.getgid()} {int(capabilities, 16)} {writable}"


async def orphan():
    """Leaves a process that ends by itself, without a parent."""
    done = subprocess.run(["sh", "-c", "sleep 0.2 & echo $!"], stdout=subprocess.PIPE)
    return done.stdout.decode()


async def child():
    """Looks at the status of its own child long after its end."""
    started = subprocess.Popen(["sh", "-c", "exit 7"])
    other = await asyncio.create_subprocess_exec("sh", "-c", "exit 8")
    await asyncio.sleep(1.5)
    return f"{started.wait()} {await other.wait()}"


async def processes():
    """Number, parent and state of each process."""
    found = []
    for path in sorted(Path("/proc").glob("[0-9]*/stat")):
        try:
            before, _, after = path.read_text().rpartition(")")
        except OSError:
            continue
        state, parent = after.split()[:2]
        found.append(f"{before.split()[0]} {parent} {state} {before.partition('(')[2]}")
    return "\n".join(found)
