"""The demo's chat, driven in memory: each tab is an application instance with its own send."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from daphne_like.demo import application
from daphne_like.demo.chat import MAX_CHARACTERS, MAX_MESSAGE, MAX_PING, MESSAGES_PER_SECOND, Chat
from daphne_like.demo.outbox import MAX_LINES
from daphne_like.demo.page import load_page
from daphne_like.demo.room import MAX_PEOPLE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Play = Callable[[Coroutine[Any, Any, Any]], Any]

ACCEPT: dict[str, Any] = {"type": "websocket.accept", "subprotocol": None, "headers": []}


def websocket_scope(path: str = "/chat", **more: Any) -> Any:
    """A WebSocket scope as small as ASGI lets a server make it."""
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "path": path,
        "headers": [],
        **more,
    }


async def settle() -> None:
    """Let everybody do what they can; only then does the clock of the loop jump."""
    await asyncio.sleep(0.001)


class Tab:
    """One tab, from opening it to closing it."""

    def __init__(self, app: Any, **scope: Any) -> None:
        self._app = app
        self._scope = websocket_scope(**scope)
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._reads = asyncio.Event()
        self._reads.set()
        self.sent: list[Any] = []
        self.send_fails: Exception | None = None

    async def open(self) -> Tab:
        self._events.put_nowait({"type": "websocket.connect"})
        self.instance = asyncio.create_task(self._app(self._scope, self.receive, self.send))
        await settle()
        return self

    async def close(self) -> None:
        self._events.put_nowait({"type": "websocket.disconnect", "code": 1001, "reason": ""})
        await self.instance

    def fail_receive(self, error: Exception) -> None:
        self._events.put_nowait(error)

    async def receive(self) -> Any:
        event = await self._events.get()
        if isinstance(event, Exception):
            raise event
        return event

    async def send(self, event: Any) -> None:
        await self._reads.wait()
        if self.send_fails is not None:
            raise self.send_fails
        self.sent.append(event)

    def stop_reading(self) -> None:
        """A server's `send` does not return while the peer reads nothing and its buffer is full."""
        self._reads.clear()

    async def go_on_reading(self) -> None:
        self._reads.set()
        await settle()

    def write(self, text: str | None, **more: Any) -> None:
        self._events.put_nowait({"type": "websocket.receive", "text": text, **more})

    async def say(self, text: str) -> None:
        self.write(json.dumps({"type": "say", "text": text}))
        await settle()

    def heard(self, *kinds: str) -> list[dict[str, Any]]:
        """The messages of these types that have come; of all types, if none is given."""
        texts = [event["text"] for event in self.sent if event["type"] == "websocket.send"]
        messages = [json.loads(text) for text in texts]
        return [message for message in messages if not kinds or message["type"] in kinds]

    def lines(self) -> list[str]:
        return [message["text"] for message in self.heard("said")]


async def answer_to(text: str | None, **more: Any) -> dict[str, Any]:
    """What a lone tab is answered, after which it can still be heard."""
    tab = await Tab(Chat()).open()
    tab.write(text, **more)
    await settle()
    await tab.say("still here")
    await tab.close()
    _, answer, last = tab.heard()
    assert last["text"] == "still here"
    return dict(answer)


class TestHandshake:
    """Who is let in."""

    def test_tab_is_accepted(self, play: Play) -> None:
        """W23: the handshake is completed first; it works without a lifespan."""

        async def main() -> None:
            tab = await Tab(application).open()
            await tab.close()
            assert tab.sent[0] == ACCEPT

        play(main())

    def test_chat_may_be_mounted(self, play: Play) -> None:
        """H08: the path may hold root_path."""

        async def main() -> None:
            tab = await Tab(application, path="/demo/chat", root_path="/demo").open()
            await tab.close()
            assert tab.sent[0] == ACCEPT

        play(main())

    @pytest.mark.parametrize("path", ["/", "/chat/", "/events", "", "/chat\x00"])
    def test_other_path_is_refused_before_accept(self, play: Play, path: str) -> None:
        """W31: a close is all that is sent."""

        async def main() -> list[Any]:
            tab = await Tab(application, path=path).open()
            await tab.instance
            return tab.sent

        reason = "there is nothing at this path"
        assert play(main()) == [{"type": "websocket.close", "code": 4404, "reason": reason}]

    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            (b"http://127.0.0.1:8000", b"127.0.0.1:8000"),
            (b"http://[::1]:8000", b"[::1]:8000"),
            (b"https://Example.org", b"example.org"),
            (b"http://example.org:8080", b"example.org"),  # nginx's $host has no port
        ],
    )
    def test_page_of_the_same_host_is_let_in(self, play: Play, origin: bytes, host: bytes) -> None:
        """RFC 6455, 10.2: Origin says the host that Host says; ports do not count."""

        async def main() -> None:
            tab = await Tab(Chat(), headers=[(b"host", host), (b"origin", origin)]).open()
            await tab.close()
            assert tab.sent[0] == ACCEPT

        play(main())

    @pytest.mark.parametrize(
        "origin",
        [
            b"http://example.com",
            b"http://127.0.0.1.example.com",
            b"null",
            b"",
            b"http://[",
            b"\xff",
        ],
    )
    def test_page_of_another_host_is_refused(self, play: Play, origin: bytes) -> None:
        """RFC 6455, 10.2: a page from elsewhere cannot listen in."""

        async def main() -> list[Any]:
            headers = [(b"host", b"127.0.0.1:8000"), (b"origin", origin)]
            tab = await Tab(Chat(), headers=headers).open()
            await tab.instance
            return tab.sent

        (event,) = play(main())
        assert (event["type"], event["code"]) == ("websocket.close", 4403)

    def test_origin_needs_a_host(self, play: Play) -> None:
        """RFC 6455, 10.2: an Origin without a host is not that of a request without Host."""

        async def main() -> list[Any]:
            tab = await Tab(Chat(), headers=[(b"origin", b"null")]).open()
            await tab.instance
            return tab.sent

        assert play(main())[0]["code"] == 4403

    def test_full_room_refuses_until_somebody_leaves(self, play: Play) -> None:
        """MAX_PEOPLE tabs are let in; the next is refused before accept, but not for ever."""

        async def main() -> None:
            chat = Chat()
            first, *others = [await Tab(chat).open() for _ in range(MAX_PEOPLE)]
            refused = await Tab(chat).open()
            await refused.instance
            await first.close()
            late = await Tab(chat).open()
            for tab in [*others, late]:
                await tab.close()
            full = {"type": "websocket.close", "code": 1013, "reason": "the room is full"}
            assert refused.sent == [full]
            assert (others[-1].sent[0], late.sent[0]) == (ACCEPT, ACCEPT)

        play(main())


class TestConversation:
    """What the tabs hear of each other."""

    def test_newcomer_is_told_who_is_here(self, play: Play) -> None:
        """Names and hues follow from the order of coming alone."""

        async def main() -> None:
            chat = Chat()
            tabs = [await Tab(chat).open() for _ in range(2)]
            for tab in tabs:
                await tab.close()
            aster, basil = {"name": "Aster", "hue": 340}, {"name": "Basil", "hue": 118}
            assert tabs[0].heard("welcome") == [{"type": "welcome", **aster, "people": [aster]}]
            welcome = {"type": "welcome", **basil, "people": [aster, basil]}
            assert tabs[1].heard() == [welcome, {"type": "left", **aster}]

        play(main())

    def test_names_are_not_given_twice(self, play: Play) -> None:
        """Not even to those who come when the first are gone, nor when all names are used up."""

        async def main() -> list[str]:
            chat = Chat()
            names = []
            for _ in range(50):
                tab = await Tab(chat).open()
                await tab.close()
                names.append(tab.heard("welcome")[0]["name"])
            return names

        names = play(main())
        assert len(set(names)) == 50
        assert [names[0], names[23], names[24], names[48]] == [
            "Aster",
            "Yarrow",
            "Aster 2",
            "Aster 3",
        ]

    def test_coming_and_going_are_told_to_the_others(self, play: Play) -> None:
        """Who is here hears of each newcomer and of each who leaves."""

        async def main() -> None:
            chat = Chat()
            first, second = await Tab(chat).open(), await Tab(chat).open()
            await second.close()
            await settle()
            await first.close()
            basil = {"name": "Basil", "hue": 118}
            assert first.heard("joined", "left") == [
                {"type": "joined", **basil},
                {"type": "left", **basil},
            ]

        play(main())

    def test_what_is_said_is_heard_by_all(self, play: Play) -> None:
        """The speaker too hears it, with name and hue."""

        async def main() -> None:
            chat = Chat()
            tabs = [await Tab(chat).open() for _ in range(3)]
            await tabs[1].say("Hello, <b>all</b>!")
            for tab in tabs:
                await tab.close()
            said = {"type": "said", "name": "Basil", "hue": 118, "text": "Hello, <b>all</b>!"}
            assert [tab.heard("said") for tab in tabs] == [[said]] * 3

        play(main())

    @pytest.mark.parametrize("text", ["\ud800", "\x00\x7f\u202e", "👨‍👩‍👧", '"\\'])
    def test_any_character_can_be_said(self, play: Play, text: str) -> None:
        """What goes out is ASCII, so that not even a lone surrogate keeps a server from sending."""

        async def main() -> None:
            tab = await Tab(Chat()).open()
            await tab.say(text)
            await tab.close()
            assert tab.lines() == [text]
            assert tab.sent[-1]["text"].isascii()

        play(main())

    def test_space_is_made_one(self, play: Play) -> None:
        """A line of chat is one line, however many somebody sent."""
        message = json.dumps({"type": "say", "text": " a\n\n\u2028b\t c "})
        assert play(answer_to(message))["text"] == "a b c"

    @pytest.mark.parametrize("n", [0, 1, MAX_PING - 1])
    def test_ping_comes_back_with_its_number(self, play: Play, n: int) -> None:
        """A pong goes to the tab that sent the ping."""
        ping = json.dumps({"type": "ping", "n": n})
        assert play(answer_to(ping)) == {"type": "pong", "n": n}


class TestRefusals:
    """What a tab may not send: it is told so, and the conversation goes on."""

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "The message is not JSON."),
            ("{", "The message is not JSON."),
            ("[" * MAX_MESSAGE, "The message is not JSON."),
            ("[]", "A message is a JSON object."),
            ("null", "A message is a JSON object."),
            ("{}", "The type of a message is say or ping."),
            ('{"type": "welcome"}', "The type of a message is say or ping."),
            ('{"type": ["say"]}', "The type of a message is say or ping."),
            ('{"type": "say"}', "The text of a message is a string."),
            ('{"type": "say", "text": 1}', "The text of a message is a string."),
            ('{"type": "say", "text": " \\n "}', "The message is empty."),
            ('{"type": "ping"}', "A ping has a number."),
            ('{"type": "ping", "n": true}', "A ping has a number."),
            ('{"type": "ping", "n": NaN}', "A ping has a number."),
            ('{"type": "ping", "n": -1}', "A ping has a number."),
            (f'{{"type": "ping", "n": {MAX_PING}}}', "A ping has a number."),
            (" " * (MAX_MESSAGE + 1), "A message has at most 8192 characters."),
        ],
        ids=lambda value: value[:30],
    )
    def test_malformed_message_is_answered_by_an_error(
        self, play: Play, text: str, sentence: str
    ) -> None:
        """The sentence says what was expected, and nothing of the message comes back."""
        assert play(answer_to(text)) == {"type": "error", "text": sentence}

    def test_binary_message_is_answered_by_an_error(self, play: Play) -> None:
        """W24: text is None if the message was binary."""
        sentence = "Messages are text, not binary."
        assert play(answer_to(None, bytes=b"\xff")) == {"type": "error", "text": sentence}

    def test_integer_of_any_length_is_answered_by_an_error(self, play: Play) -> None:
        """Some releases of Python read it, others raise; neither ends the conversation."""
        assert play(answer_to("9" * MAX_MESSAGE))["type"] == "error"

    @pytest.mark.parametrize("character", ["x", "ü", "🌸"])
    def test_longest_line_is_said(self, play: Play, character: str) -> None:
        """MAX_CHARACTERS, whatever JSON makes of each, and space around them."""
        line = character * MAX_CHARACTERS
        answer = play(answer_to(json.dumps({"type": "say", "text": f" {line} "})))
        assert (answer["type"], answer["text"]) == ("said", line)

    def test_longer_line_is_not(self, play: Play) -> None:
        """One character more, and only its sender hears of it."""
        answer = play(answer_to(json.dumps({"type": "say", "text": "x" * (MAX_CHARACTERS + 1)})))
        sentence = "The text is too long: at most 500 characters are allowed."
        assert answer == {"type": "error", "text": sentence}

    def test_page_has_the_same_limit(self) -> None:
        """The input takes as many characters as the server does."""
        assert re.findall(rb'maxlength="(\d+)"', load_page().content) == [b"%d" % MAX_CHARACTERS]

    def test_too_many_messages_are_refused(self, play: Play) -> None:
        """As many as a second allows may come at once; the next one has to wait for its turn."""

        async def main() -> None:
            tab = await Tab(Chat()).open()
            for index in range(MESSAGES_PER_SECOND + 1):
                tab.write(json.dumps({"type": "say", "text": str(index)}))
            await settle()
            await asyncio.sleep(1 / MESSAGES_PER_SECOND)
            await tab.say("later")
            await tab.close()
            assert tab.lines() == [*map(str, range(MESSAGES_PER_SECOND)), "later"]
            sentence = "Too many messages: at most 10 a second are allowed."
            assert tab.heard("error") == [{"type": "error", "text": sentence}]

        play(main())

    def test_quiet_tab_saves_up_no_more_than_a_second(self, play: Play) -> None:
        """After an hour of silence the allowance is what it was at first."""

        async def main() -> int:
            tab = await Tab(Chat()).open()
            await asyncio.sleep(3600)
            for _ in range(2 * MESSAGES_PER_SECOND):
                tab.write('{"type": "say", "text": "x"}')
            await settle()
            await tab.close()
            return len(tab.lines())

        assert play(main()) == MESSAGES_PER_SECOND

    def test_one_tabs_allowance_is_not_anothers(self, play: Play) -> None:
        """Who floods is refused alone."""

        async def main() -> None:
            chat = Chat()
            loud, quiet = await Tab(chat).open(), await Tab(chat).open()
            for _ in range(MESSAGES_PER_SECOND + 1):
                loud.write('{"type": "ping", "n": 1}')
            await quiet.say("good evening")
            await loud.close()
            await quiet.close()
            assert loud.lines() == quiet.lines() == ["good evening"]
            assert quiet.heard("error") == []

        play(main())


class TestSlowTab:
    """A tab that does not read."""

    async def fall_behind(self, said: int) -> tuple[Tab, Tab]:
        """A slow tab and a quick one, `said` lines after the slow one stopped reading."""
        chat = Chat()
        slow, quick = await Tab(chat).open(), await Tab(chat).open()
        slow.stop_reading()
        for index in range(said):
            await quick.say(str(index))
            await asyncio.sleep(1 / MESSAGES_PER_SECOND)
        return slow, quick

    def test_others_do_not_wait_for_it(self, play: Play) -> None:
        """Each line reaches the others when it is said."""

        async def main() -> None:
            slow, quick = await self.fall_behind(5)
            assert (quick.lines(), slow.lines()) == (["0", "1", "2", "3", "4"], [])
            await slow.close()
            await quick.close()

        play(main())

    def test_it_gets_what_there_was_room_for(self, play: Play) -> None:
        """One line is with the server, MAX_LINES wait: none of these is lost."""

        async def main() -> None:
            slow, quick = await self.fall_behind(1 + MAX_LINES)
            await slow.go_on_reading()
            await slow.close()
            await quick.close()
            assert slow.lines() == [str(index) for index in range(1 + MAX_LINES)]
            assert slow.heard("missed") == []

        play(main())

    def test_it_loses_the_oldest_lines_and_is_told_how_many(self, play: Play) -> None:
        """The count stands where the lines are missing, with all who are here by now."""

        async def main() -> None:
            slow, quick = await self.fall_behind(1 + MAX_LINES + 7)
            await slow.go_on_reading()
            await slow.close()
            await quick.close()
            people = [{"name": "Aster", "hue": 340}, {"name": "Basil", "hue": 118}]
            first, missed, *rest = slow.heard("said", "missed")
            assert first["text"] == "0"
            assert missed == {"type": "missed", "count": 7, "people": people}
            assert [line["text"] for line in rest] == [str(8 + index) for index in range(MAX_LINES)]

        play(main())

    def test_its_closing_does_not_wait_for_its_reading(self, play: Play) -> None:
        """A tab that is gone leaves the room even while a `send` to it waits."""

        async def main() -> None:
            slow, quick = await self.fall_behind(3)
            await slow.close()
            await settle()
            await quick.close()
            assert [message["name"] for message in quick.heard("left")] == ["Aster"]

        play(main())


class TestEnds:
    """However an instance ends, the tab has left the room, and no task is left (see `play`)."""

    async def end(self, ends: Callable[[Tab], Any]) -> None:
        """Let one of two tabs end that way; the other one must hear of it."""
        chat = Chat()
        other, tab = await Tab(chat).open(), await Tab(chat).open()
        ends(tab)
        try:
            await tab.instance
        finally:
            await settle()
            await other.close()
            assert [message["name"] for message in other.heard("left")] == ["Basil"]

    def test_cancelled(self, play: Play) -> None:
        """The server cancels the instance."""
        with pytest.raises(asyncio.CancelledError):
            play(self.end(lambda tab: tab.instance.cancel()))

    def test_send_says_that_the_peer_is_gone(self, play: Play) -> None:
        """W40: an OSError out of `send` comes back to the server."""

        def ends(tab: Tab) -> None:
            tab.send_fails = OSError("gone")
            tab.write('{"type": "ping", "n": 1}')

        with pytest.raises(OSError, match="gone"):
            play(self.end(ends))

    def test_accept_says_that_the_peer_is_gone(self, play: Play) -> None:
        """W40: the same holds for the first event."""

        async def main() -> None:
            other = await Tab(chat := Chat()).open()
            tab = Tab(chat)
            tab.send_fails = OSError("gone")
            await tab.open()
            await other.close()
            assert [message["type"] for message in other.heard()] == ["welcome", "joined", "left"]
            await tab.instance

        with pytest.raises(OSError, match="gone"):
            play(main())

    def test_receive_fails(self, play: Play) -> None:
        """What `receive` raises comes back to the server."""
        with pytest.raises(RuntimeError, match="receive is broken"):
            play(self.end(lambda tab: tab.fail_receive(RuntimeError("receive is broken"))))
