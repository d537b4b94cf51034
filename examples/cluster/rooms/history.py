"""The last messages of each room, numbered, in Redis."""

import json

from django.conf import settings
from redis.asyncio import Redis

KEPT = 1000
"""Messages of a room that a client can still fetch; Redis may keep a few more."""
REMEMBERED_SECONDS = 600
"""Time in which a message that is sent again keeps its first number."""

APPEND = """
local before = redis.call('GET', KEYS[3])
if before then return tonumber(before) end
local number = redis.call('INCR', KEYS[1])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], number .. '-0', 'message', ARGV[1])
redis.call('SET', KEYS[3], number, 'EX', ARGV[3])
return number
"""
"""Redis runs a script as one step: no number is given twice, and none is skipped."""

redis = Redis.from_url(settings.REDIS_URL)


async def append(room: str, sent_as: str, message: dict) -> int:
    """Store a message and return its number in the room, from 1.

    Args:
        room: name of the room.
        sent_as: chosen by the client. The same one again is the same message.
        message: what members receive.
    """
    keys = (f"{{{room}}}:number", f"{{{room}}}:messages", f"{{{room}}}:sent:{sent_as}")
    return await redis.eval(APPEND, len(keys), *keys, json.dumps(message), KEPT, REMEMBERED_SECONDS)


async def newest(room: str) -> int:
    """Return the number of the last message, or 0."""
    return int(await redis.get(f"{{{room}}}:number") or 0)


async def since(room: str, number: int) -> list[tuple[int, dict]]:
    """Return the messages after a number, each with its own."""
    entries = await redis.xrange(f"{{{room}}}:messages", f"({number}-0", "+")
    return [(int(key.partition(b"-")[0]), json.loads(entry[b"message"])) for key, entry in entries]
