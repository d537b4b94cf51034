"""The lines of the access log as JSON.

They are put together as text, because building a dict for `json.dumps` takes three times as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from daphne_like.bounded_cache import BoundedCache
from daphne_like.observe.structured import ECS, ECS_VERSION, key, level_name

LOGGER = "daphne_like.access"
MAX_KNOWN = 1024
MAX_CACHED_OCTETS = 256


def json_line(style: str, process: str = "") -> Callable[[Any], str]:
    """Return a function that writes an entry as a JSON object.

    Args:
        style: JSON or ECS.
        process: name of the process among several; "" if there is one.
    """
    before_time = f'{{"{key("timestamp", style)}":"'
    after_time = (
        f'"{key("level", style)}":"{level_name("INFO", style)}",'
        f'"{key("logger", style)}":"{LOGGER}","message":"'
    )
    ends = f',"ecs.version":"{ECS_VERSION}"' if style == ECS else ""
    ends += f',"daphne_like.process":{quote(process)}}}' if process else "}"
    size_key = f',"{key("http.response.body.size", style)}":'
    factor, digits = (1e9, 0) if style == ECS else (1, 3)  # ECS has whole nanoseconds
    seconds_template = f',"{key("http.server.request.duration", style)}":%.{digits}f'
    version_key = key("network.protocol.version", style)
    request_key, trace_key, span_key = (
        key(name, style) for name in ("request_id", "trace_id", "span_id")
    )
    requests: BoundedCache[Any, str] = BoundedCache(MAX_KNOWN)
    agents: BoundedCache[bytes, str] = BoundedCache(MAX_KNOWN)
    last_millisecond, start = -1, ""

    def line(entry: Any) -> str:
        # Flat on purpose: this code runs for every request.
        nonlocal last_millisecond, start
        (now, client, method, target, status, size, seconds, is_cut, version, scheme, fields, _,
         identity, close_code, queue_time) = entry  # fmt: skip
        millisecond = int(now * 1000)
        if millisecond != last_millisecond:
            last_millisecond = millisecond
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(millisecond // 1000))
            start = f'{before_time}{stamp}.{millisecond % 1000:03}Z",{after_time}'
        request = requests.get((method, target, status))
        if request is None:
            request = describe_request(method, target, status)
            if len(target) <= MAX_CACHED_OCTETS:
                requests.store((method, target, status), request)
        text = f"{start}{request}"
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
            text += f',"url.scheme":"{scheme}","{version_key}":"{version}"'
        for name, value in fields:
            if name == b"user-agent":
                text += agents.get(value) or store_agent(agents, value)
                break
        if queue_time is not None:
            text += f',"daphne_like.queue_time":{queue_time:.6f}'
        if is_cut:
            text += ',"daphne_like.cut":true'
        if close_code is not None:
            text += f',"daphne_like.close_code":{close_code}'
        if identity is not None:
            request_id, trace_id, span_id = identity
            text += f',"{request_key}":"{request_id}"'
            if trace_id:
                text += f',"{trace_key}":"{trace_id}","{span_key}":"{span_id}"'
        return text + ends

    return line


def describe_request(method: str, target: bytes | str, status: int | None) -> str:
    """Return the end of the message, and the keys that are the same for equal requests."""
    if isinstance(target, bytes):
        target = target.decode("ascii", "backslashreplace")
    path, mark, query = target.partition("?")
    path, method = quote(path)[1:-1], quote(method)[1:-1]
    text = f'{method} {path} {status or "-"}","http.request.method":"{method}","url.path":"{path}"'
    if mark:
        text += f',"url.query":{quote(query)}'
    if status:
        text += f',"http.response.status_code":{status}'
    return text


def store_agent(agents: BoundedCache[bytes, str], value: bytes) -> str:
    """Return the text of a User-Agent; cache it unless it is long."""
    text = f',"user_agent.original":{quote(value.decode("latin-1"))}'
    return agents.store(value, text) if len(value) <= MAX_CACHED_OCTETS else text
