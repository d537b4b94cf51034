"""Requests that are refused before the application sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.memory import Memory
from tests.support.peers import Recorder, chunked, get, post, read_answers

LINE = b"GET / HTTP/1.1\r\n"
HOST = b"Host: x\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"


def with_field(line: bytes) -> bytes:
    return LINE + HOST + line + b"\r\n\r\n"


def with_line(line: bytes) -> bytes:
    return line + b"\r\n" + HOST + b"\r\n"


def with_framing(*lines: bytes, body: bytes = CHUNKS, version: bytes = b"1.1") -> bytes:
    head = b"\r\n".join((b"POST / HTTP/" + version, b"Host: x", *lines, b"", b""))
    return head + body


def with_chunks(body: bytes) -> bytes:
    return with_framing(TE[:-2], body=body)


# Malformed requests, and the status that RFC 9112, 9110 and 6455, read strictly, ask for.
MALFORMED = {
    "dup_cl_diff": (with_framing(b"Content-Length: 3", b"Content-Length: 4", body=b"abc"), 400),
    "dup_cl_same": (with_framing(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), 400),
    "cl_list": (with_framing(b"Content-Length: 3, 3", body=b"abc"), 400),
    "cl_plus": (with_framing(b"Content-Length: +3", body=b"abc"), 400),
    "cl_neg": (with_framing(b"Content-Length: -3", body=b"abc"), 400),
    "cl_under": (with_framing(b"Content-Length: 1_0", body=b"abc"), 400),
    "cl_hex": (with_framing(b"Content-Length: 0x3", body=b"abc"), 400),
    "cl_empty": (with_framing(b"Content-Length:", body=b"abc"), 400),
    "cl_two_words": (with_framing(b"Content-Length: 3 3", body=b"abc"), 400),
    "cl_vt": (with_framing(b"Content-Length: \x0b3", body=b"abc"), 400),
    "cl_ff": (with_framing(b"Content-Length: 3\x0c", body=b"abc"), 400),
    "cl_5000_digits": (with_framing(b"Content-Length: " + b"9" * 5000, body=b"abc"), 400),
    "cl_19_digits": (with_framing(b"Content-Length: 1000000000000000000", body=b"abc"), 400),
    "cl_space_before_colon": (with_framing(b"Content-Length : 3", body=b"abc"), 400),
    "cl_and_te": (with_framing(b"Content-Length: 3", TE[:-2]), 400),
    "te_and_cl": (with_framing(TE[:-2], b"Content-Length: 3"), 400),
    "te_xchunked": (with_framing(b"Transfer-Encoding: xchunked"), 501),
    "te_identity": (with_framing(b"Transfer-Encoding: identity"), 501),
    "te_gzip_chunked": (with_framing(b"Transfer-Encoding: gzip, chunked"), 501),
    "te_chunked_identity": (with_framing(b"Transfer-Encoding: chunked, identity"), 400),
    "te_chunked_chunked": (with_framing(b"Transfer-Encoding: chunked, chunked"), 400),
    "te_dup": (with_framing(TE[:-2], TE[:-2]), 400),
    "te_gzip_then_chunked": (with_framing(b"Transfer-Encoding: gzip", TE[:-2]), 400),
    "te_empty": (with_framing(b"Transfer-Encoding:"), 400),
    "te_comma": (with_framing(b"Transfer-Encoding: ,chunked"), 501),
    "te_parameter": (with_framing(b"Transfer-Encoding: chunked;q=1"), 501),
    "te_vt": (with_framing(b"Transfer-Encoding: \x0bchunked"), 400),
    "te_folded": (with_framing(b"Transfer-Encoding:\r\n chunked"), 400),
    "te_http10": (with_framing(TE[:-2], version=b"1.0"), 400),
    "chunk_0x": (with_chunks(b"0x3\r\nabc\r\n0\r\n\r\n"), 400),
    "chunk_neg": (with_chunks(b"-3\r\nabc\r\n0\r\n\r\n"), 400),
    "chunk_plus": (with_chunks(b"+3\r\nabc\r\n0\r\n\r\n"), 400),
    "chunk_nocrlf": (with_chunks(b"3\r\nabcXX0\r\n\r\n"), 400),
    "chunk_lf_only": (with_chunks(b"3\nabc\n0\n\n"), 400),
    "chunk_data_lf": (with_chunks(b"3\r\nabc\n0\r\n\r\n"), 400),
    "chunk_ext_lf": (with_chunks(b"3;a\nb\r\nabc\r\n0\r\n\r\n"), 400),
    "chunk_ext_cr": (with_chunks(b"3;a\rb\r\nabc\r\n0\r\n\r\n"), 400),
    "chunk_ext_control": (with_chunks(b"3;a\x01\r\nabc\r\n0\r\n\r\n"), 400),
    "chunk_under": (with_chunks(b"1_0\r\nabc\r\n0\r\n\r\n"), 400),
    "chunk_space": (with_chunks(b" 3\r\nabc\r\n0\r\n\r\n"), 400),
    "chunk_vt": (with_chunks(b"3\x0b\r\nabc\r\n0\r\n\r\n"), 400),
    "chunk_too_big": (with_chunks(b"fffffffffffffffff\r\nabc"), 400),
    "chunk_no_size": (with_chunks(b"\r\nabc\r\n0\r\n\r\n"), 400),
    "trailer_no_colon": (with_chunks(b"3\r\nabc\r\n0\r\nX y\r\n\r\n"), 400),
    "trailer_space": (with_chunks(b"3\r\nabc\r\n0\r\nX : y\r\n\r\n"), 400),
    "trailer_fold": (with_chunks(b"3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n"), 400),
    "trailer_nul": (with_chunks(b"3\r\nabc\r\n0\r\nX: \0\r\n\r\n"), 400),
    "trailer_nel": (with_chunks(b"3\r\nabc\r\n0\r\nX: a\x85b\r\n\r\n"), 400),
    "trailer_lf": (with_chunks(b"3\r\nabc\r\n0\r\nX: y\n\r\n"), 400),
    "trailer_te": (with_chunks(b"3\r\nabc\r\n0\r\n" + TE + b"\r\n"), 400),
    "trailer_cl": (with_chunks(b"3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n"), 400),
    "lf_only_lines": (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    "lf_after_field": (LINE + b"Host: x\n\r\n", 400),
    "lf_at_end": (LINE + HOST + b"\n", 400),
    "lf_before": (b"\n" + LINE + HOST + b"\r\n", 400),
    "cr_before": (b"\r" + LINE + HOST + b"\r\n", 400),
    "cr_between_lines": (b"GET / HTTP/1.1\rHost: x\r\n\r\n", 400),
    "cr_doubled": (b"GET / HTTP/1.1\r\r\nHost: x\r\n\r\n", 400),
    "bare_cr_value": (with_field(b"X: a\rb"), 400),
    "space_before_colon": (with_field(b"X : a"), 400),
    "obs_fold": (with_field(b"X: a\r\n b"), 400),
    "obs_fold_tab": (with_field(b"X: a\r\n\tb"), 400),
    "fold_first": (LINE + b" Host: x\r\n\r\n", 400),
    "bad_name": (with_field(b"X(y): a"), 400),
    "name_space": (with_field(b"X y: a"), 400),
    "empty_name": (with_field(b": a"), 400),
    "no_colon": (with_field(b"X"), 400),
    "no_host_11": (LINE + b"\r\n", 400),
    "two_hosts": (LINE + HOST + HOST + b"\r\n", 400),
    "host_space": (LINE + b"Host: a b\r\n\r\n", 400),
    "host_user": (LINE + b"Host: u@x\r\n\r\n", 400),
    "host_path": (LINE + b"Host: x/y\r\n\r\n", 400),
    "host_port": (LINE + b"Host: x:y\r\n\r\n", 400),
    "host_list": (LINE + b"Host: x, y\r\n\r\n", 400),
    "host_nonascii": (LINE + b"Host: \xe9\r\n\r\n", 400),
    "http_09": (b"GET /\r\n\r\n", 400),
    "http_09_written": (with_line(b"GET / HTTP/0.9"), 400),
    "http_12": (with_line(b"GET / HTTP/1.2"), 400),
    "http_20line": (with_line(b"GET / HTTP/2.0"), 505),
    "http_111": (with_line(b"GET / HTTP/1.11"), 400),
    "http_lower": (with_line(b"GET / http/1.1"), 400),
    "rtsp": (with_line(b"GET / RTSP/1.0"), 400),
    "rtsp_method": (with_line(b"DESCRIBE / RTSP/1.0"), 400),
    "ice": (with_line(b"SOURCE / ICE/1.0"), 400),
    "two_spaces": (with_line(b"GET  / HTTP/1.1"), 400),
    "two_spaces_behind": (with_line(b"GET /  HTTP/1.1"), 400),
    "tab_in_line": (with_line(b"GET\t/ HTTP/1.1"), 400),
    "space_behind_line": (with_line(b"GET / HTTP/1.1 "), 400),
    "bad_method": (with_line(b"G@T / HTTP/1.1"), 400),
    "long_method": (with_line(b"M" * 65 + b" / HTTP/1.1"), 501),
    "method_behind_lf": (with_line(b"\nBAN / HTTP/1.1"), 400),
    "method_behind_cr": (with_line(b"\rBAN / HTTP/1.1"), 400),
    "method_without_target": (with_line(b"BAN HTTP/1.1"), 400),
    "method_two_spaces": (with_line(b"BAN  / HTTP/1.1"), 400),
    "method_alone": (b"BAN\r\n\r\n", 400),
    "method_09": (b"BAN /\r\n\r\n", 400),
    "method_20": (with_line(b"BAN / HTTP/2.0"), 505),
    "lower_method": (with_line(b"get / HTTP/1.1"), 501),
    "nonascii_path": (with_line(b"GET /\xe9 HTTP/1.1"), 400),
    "nonascii_query": (with_line(b"GET /?\xe9 HTTP/1.1"), 400),
    "control_path": (with_line(b"GET /\x01 HTTP/1.1"), 400),
    "del_path": (with_line(b"GET /\x7f HTTP/1.1"), 400),
    "vt_query": (with_line(b"GET /?\x0b HTTP/1.1"), 400),
    "get_star": (with_line(b"GET * HTTP/1.1"), 400),
    "connect": (with_line(b"CONNECT x:80 HTTP/1.1"), 501),
    "connect_path": (with_line(b"CONNECT / HTTP/1.1"), 501),
    "authority_form": (with_line(b"GET x:80 HTTP/1.1"), 400),
    "relative_target": (with_line(b"GET x HTTP/1.1"), 400),
    "foreign_scheme": (with_line(b"GET ftp://x/ HTTP/1.1"), 400),
    "absolute_user": (with_line(b"GET http://u@x/ HTTP/1.1"), 400),
    "absolute_no_host": (with_line(b"GET http:///y HTTP/1.1"), 400),
    "fragment": (with_line(b"GET /#a HTTP/1.1"), 400),
    "absolute_fragment": (with_line(b"GET http://x/#a HTTP/1.1"), 400),
    "spaces_in_target": (with_line(b"GET /a b HTTP/1.1"), 400),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 400),
    "expect_other": (post(b"abc", b"Expect: 200-ok"), 417),
}

IN_BODY = ("chunk_", "trailer_")

CONTROLS = [b"%c" % octet for octet in (*range(9), *range(10, 32), 127, 0x85)]

Serve = Callable[..., Memory]


async def raising(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("on purpose")


async def silent(scope: Any, receive: Any, send: Any) -> None:
    await receive()


def octets_of(request: bytes) -> list[bytes]:
    return [request[i : i + 1] for i in range(len(request))]


class TestTLSOnAPlainPort:
    """The response to a TLS client, for people who look at the wire."""

    def test_it_says_what_the_port_speaks(self, serve: Serve) -> None:
        """A ClientHello is told apart from other rubbish."""
        wire = serve(Recorder()).connect().sends(MALFORMED["tls"][0])
        (answer,) = read_answers(wire.written)
        assert answer.body.startswith(b"This port speaks plain HTTP, not TLS: use http://")


class TestMalformed:
    """RFC 9112, RFC 9110; S07, S08, S20-S23, S34."""

    @pytest.mark.parametrize("name", MALFORMED)
    def test_whole(self, serve: Serve, name: str) -> None:
        """One short answer with the wanted status, then a close; the application sees nothing."""
        request, status = MALFORMED[name]
        application = Recorder()
        memory = serve(application)
        wire = memory.connect().sends(request)
        (answer,) = read_answers(wire.written)
        assert answer.status == status
        assert answer.closes
        assert answer.fields[b"content-type"] == b"text/plain; charset=utf-8"
        assert len(answer.body) < 80
        assert wire.half_closed
        assert not wire.aborted
        # What is wrong in a body is known when the application runs already.
        assert len(application.scopes) <= name.startswith(IN_BODY)

    @pytest.mark.parametrize("name", MALFORMED)
    def test_octet_by_octet(self, serve: Serve, name: str) -> None:
        """The answer does not depend on how the request was cut."""
        request, status = MALFORMED[name]
        wire = serve(Recorder()).connect().gets(*octets_of(request))
        (answer,) = read_answers(wire.written)
        assert (answer.status, answer.closes) == (status, True)

    @pytest.mark.parametrize("name", [name for name in MALFORMED if len(MALFORMED[name][0]) < 200])
    def test_behind_a_good_one(self, serve: Serve, name: str) -> None:
        """S10: the request before it is answered first, and once; so is one cut anywhere."""
        request, status = MALFORMED[name]
        whole = get(b"/first") + request
        application = Recorder()
        memory = serve(application)
        for cut in range(1, len(whole)):
            wire = memory.connect().gets(whole[:cut], whole[cut:])
            answers = read_answers(wire.written)
            assert [answer.status for answer in answers] == [200, status], cut
            assert answers[0].body == b"/first"

    @pytest.mark.parametrize("name", MALFORMED)
    def test_after_an_answer(self, serve: Serve, name: str) -> None:
        """State of the previous request changes nothing."""
        request, status = MALFORMED[name]
        wire = serve(Recorder()).connect().sends(get(), request)
        assert [answer.status for answer in read_answers(wire.written)] == [200, status]


class TestVersion:
    """Error responses have the request's HTTP version, as under Daphne."""

    @pytest.mark.parametrize("version", [b"1.0", b"1.1"])
    @pytest.mark.parametrize(
        ("application", "request_line", "status"),
        [
            (raising, b"GET / HTTP/", 500),
            (silent, b"GET / HTTP/", 500),
            (Recorder(), b"GET /# HTTP/", 400),
            (Recorder(), b"HEAD /# HTTP/", 400),
            (Recorder(), b"frobnicate / HTTP/", 501),
        ],
    )
    def test_version(
        self, serve: Serve, application: Any, request_line: bytes, status: int, version: bytes
    ) -> None:
        """An answer that the server makes, before and after the application had its turn."""
        wire = serve(application).connect().sends(request_line + version + b"\r\n" + HOST + b"\r\n")
        (answer,) = read_answers(wire.written, (request_line.split()[0],))
        assert (answer.status, answer.version) == (status, version)

    def test_after_another_one(self, serve: Serve) -> None:
        """The version of this request, not of the one before it."""
        wire = serve(Recorder()).connect()
        wire.sends(get(), b"GET /# HTTP/1.0\r\n\r\n")
        assert [answer.version for answer in read_answers(wire.written)] == [b"1.1", b"1.0"]


class TestControlOctets:
    """S02, S07, S25; RFC 9110, 5.5."""

    @pytest.mark.parametrize("octet", CONTROLS)
    @pytest.mark.parametrize("value", [b"a%bb", b"%ba", b"a%b", b"%b"])
    def test_in_a_value(self, serve: Serve, octet: bytes, value: bytes) -> None:
        """S02: no control octet reaches the application, NEL included, wherever it stands."""
        application = Recorder()
        wire = serve(application).connect().sends(with_field(b"X: " + value % octet))
        (answer,) = read_answers(wire.written)
        assert answer.status == 400
        assert not application.scopes

    @pytest.mark.parametrize("octet", [*CONTROLS, b"\t", b" ", b"\xe9", b"(", b"@"])
    def test_in_a_name(self, serve: Serve, octet: bytes) -> None:
        """RFC 9110, 5.1: a name is a token."""
        wire = serve(Recorder()).connect().sends(with_field(b"X%b: a" % octet))
        assert read_answers(wire.written)[0].status == 400

    @pytest.mark.parametrize("octet", [*CONTROLS, b"\t", b"\xe9", b"\xff"])
    @pytest.mark.parametrize("target", [b"/%b", b"/a%bb", b"/?%b"])
    def test_in_the_target(self, serve: Serve, octet: bytes, target: bytes) -> None:
        """S25: neither control nor other octets outside of ASCII are in a target."""
        wire = serve(Recorder()).connect().sends(get(target % octet))
        assert read_answers(wire.written)[0].status == 400

    @pytest.mark.parametrize("octet", [b"%c" % octet for octet in range(0x80, 0x100)])
    def test_octet_outside_of_ascii_in_a_value(self, serve: Serve, octet: bytes) -> None:
        """S25: such octets reach the application as they are; NEL alone is a control octet."""
        application = Recorder()
        wire = serve(application).connect().sends(with_field(b"X: a%bb" % octet))
        if octet == b"\x85":
            assert read_answers(wire.written)[0].status == 400
        else:
            assert application.scopes[0]["headers"] == [(b"host", b"x"), (b"x", b"a%bb" % octet)]

    def test_nel_inside_of_utf8(self, serve: Serve) -> None:
        """S02: the second octet of a UTF-8 character is no control character."""
        application = Recorder()
        serve(application).connect().sends(with_field("X: Åsa".encode()))
        assert application.scopes[0]["headers"][1] == (b"x", "Åsa".encode())


class TestRefusal:
    """S11: a refusal is short plain text, repeats nothing of the request, and closes cleanly."""

    def test_nothing_is_reflected(self, serve: Serve) -> None:
        """S11: no octet of the request is in an answer of the server's own."""
        marker = b"q7w8marker"
        for request in (
            get(b"/#" + marker),
            get(host=marker + b"@<b>"),
            with_line(b"FROB" + marker + b" / HTTP/1.1"),
            with_field(marker + b"(: x"),
            post(b"abc", b"Expect: " + marker),
        ):
            wire = serve(Recorder()).connect().sends(request)
            assert read_answers(wire.written)[0].status >= 400
            assert marker not in wire.written

    def test_whole_answer(self, serve: Serve) -> None:
        """The octets of one refusal."""
        wire = serve(Recorder()).connect().sends(LINE + b"\r\n")
        head, _, body = wire.written.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[3].startswith(b"Date: ")
        del lines[3]
        assert lines == [
            b"HTTP/1.1 400 Bad Request",
            b"Content-Type: text/plain; charset=utf-8",
            b"Content-Length: 40",
            b"Server: daphne-like",
            b"Connection: close",
        ]
        assert body == b"A request in HTTP/1.1 has a Host field.\n"

    @pytest.mark.parametrize("parts", [1, 0])
    def test_head_has_no_body(self, serve: Serve, parts: int) -> None:
        """K2: not even the refusal of a HEAD request has a body."""
        request = b"HEAD / HTTP/1.1\r\n\r\n"
        wire = serve(Recorder()).connect().gets(*([request] if parts else octets_of(request)))
        (answer,) = read_answers(wire.written, (b"HEAD",))
        assert answer.status == 400

    def test_what_follows_is_dropped(self, serve: Serve) -> None:
        """After a refusal nothing is parsed, and the peer may send on while it reads."""
        application = Recorder()
        memory = serve(application)
        wire = memory.connect().sends(LINE + b"\r\n", *[get() for _ in range(20)])
        assert len(read_answers(wire.written)) == 1
        assert not application.scopes
        assert not wire.paused
        assert not wire.lost

    def test_refused_in_mid_body(self, serve: Serve) -> None:
        """The application of the exchange is told http.disconnect; the peer gets one answer."""
        application = Recorder()
        wire = serve(application).connect().sends(chunked(b"abc", end=False), b"zz\r\n")
        assert [answer.status for answer in read_answers(wire.written)] == [400]
        assert application.ends == ["http.disconnect"]

    def test_refused_with_the_head_out(self, serve: Serve) -> None:
        """With the response head out the connection is aborted: nothing can be said any more."""

        async def application(scope, receive, send):  # type: ignore[no-untyped-def]
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass

        wire = serve(application).connect().sends(chunked(b"abc", end=False), b"zz\r\n")
        assert wire.aborted
        assert wire.written.endswith(b"\r\n\r\n1\r\na\r\n")

    def test_refused_after_the_answer(self, serve: Serve) -> None:
        """An application has answered before the body; what is wrong with it gets no answer."""

        async def application(scope, receive, send):  # type: ignore[no-untyped-def]
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            await send({"type": "http.response.body"})

        wire = serve(application).connect().sends(chunked(b"abc", end=False), b"zz\r\n")
        (answer,) = read_answers(wire.written)
        assert answer.status == 200
        assert wire.half_closed

    def test_refused_behind_others(self, serve: Serve) -> None:
        """Requests parsed before the refused one are answered, in order, then it."""
        application = Recorder()
        whole = b"".join(get(b"/%d" % n) for n in range(5)) + chunked(b"abc", end=False) + b"zz\r\n"
        wire = serve(application).connect().sends(whole)
        answers = read_answers(wire.written)
        assert [answer.status for answer in answers] == [200] * 5 + [400]
        assert len(application.scopes) == 5
        assert wire.half_closed

    def test_closed_by_the_peer(self, serve: Serve) -> None:
        """The lingering connection ends with the peer's FIN."""
        wire = serve(Recorder()).connect().sends(LINE + b"\r\n")
        wire.fin()
        assert wire.lost
        assert not wire.aborted
