"""The lines of the access log as JSON.

They are put together as text, because building a dict for `json.dumps` takes three times as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from daphne_like.observe.structured import ECS, ECS_VERSION, key, level_name

LOGGER = "daphne_like.access"


def json_line(style: str, process: str = "") -> Callable[[Any], str]:
    """Return a function that writes an entry as a JSON object.

    Args:
        style: JSON or ECS.
        process: name of the process among several; "" if there is one.
    """
    is_ecs = style == ECS
    head = (
        f'{{"{key("timestamp", style)}":"%s.%03dZ",'
        f'"{key("level", style)}":"{level_name("INFO", style)}",'
        f'"{key("logger", style)}":"{LOGGER}","message":"%s %s %s",'
        '"http.request.method":"%s","url.path":"%s"'
    )
    ends = f',"ecs.version":"{ECS_VERSION}"' if is_ecs else ""
    ends += f',"daphne_like.process":{quote(process)}}}' if process else "}"
    status_key = ',"http.response.status_code":'
    size_key = f',"{key("http.response.body.size", style)}":'
    seconds_template = f',"{key("http.server.request.duration", style)}":%.{0 if is_ecs else 3}f'
    factor = 1e9 if is_ecs else 1  # ECS has nanoseconds
    rest_template = f',"url.scheme":"%s","{key("network.protocol.version", style)}":"%s"'
    keys = [key(name, style) for name in ("request_id", "trace_id", "span_id")]
    last_second, last_stamp = -1, ""

    def line(entry: Any) -> str:
        # Flat on purpose: this code runs for every request.
        nonlocal last_second, last_stamp
        (now, client, method, target, status, size, seconds, is_cut, version, scheme, fields, _,
         identity, close_code, queue_time) = entry  # fmt: skip
        second = int(now)
        if second != last_second:
            last_stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            last_second = second
        if target.__class__ is bytes:
            target = target.decode("ascii", "backslashreplace")
        path, mark, query = target.partition("?")
        path = quote(path)[1:-1]
        milliseconds = (now - second) * 1000
        text = head % (last_stamp, milliseconds, method, path, status or "-", method, path)
        if mark:
            text += f',"url.query":{quote(query)}'
        if status:
            text += f"{status_key}{status}"
        if size is not None:
            text += f"{size_key}{size}"
        if seconds is not None:
            text += seconds_template % (seconds * factor)
        if client:
            if client.__class__ is str:
                host, _, port = client.rpartition(":")
            else:
                host, port = client
            text += f',"client.address":{quote(host)},"client.port":{port}'
        if version:
            text += rest_template % (scheme, version)
        for name, value in fields:
            if name == b"user-agent":
                text += f',"user_agent.original":{quote(value.decode("latin-1"))}'
                break
        if queue_time is not None:
            text += f',"daphne_like.queue_time":{queue_time:.6f}'
        if is_cut:
            text += ',"daphne_like.cut":true'
        if close_code is not None:
            text += f',"daphne_like.close_code":{close_code}'
        if identity is not None:
            for name, value in zip(keys, identity, strict=True):
                if value:
                    text += f',"{name}":"{value}"'
        return text + ends

    return line
