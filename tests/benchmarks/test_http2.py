"""The HTTP/2 workloads: h2load's command line and lines, and who takes part, all in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.http2 import load
from benchmarks.http2.load import H2Load
from benchmarks.http2.workloads import HTTP2_WORKLOADS
from benchmarks.load import LoadError, Summary

NAMED = {one.name: one for one in HTTP2_WORKLOADS}
OUTPUT = """\
spawning thread #0: 16 total client(s). 1200 total requests
progress: 100% done

finished in 163.18ms, 12000.00 req/s, 4.21MB/s
requests: 1200 total, 1200 started, 1200 done, 1200 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 1200 2xx, 0 3xx, 0 4xx, 0 5xx
"""


class TestOutput:
    """What is read of h2load: three of its lines."""

    def test_requests_and_duration(self) -> None:
        """Requests as counted; the duration by their rate, which has one unit only."""
        assert load.parse(OUTPUT) == Summary(count=1200, seconds=0.1)

    @pytest.mark.parametrize("kind", ["failed", "errored", "timeout"])
    def test_any_error_voids_the_slice(self, kind: str) -> None:
        """A stream that was reset, or a connection that ended, is no measurement."""
        output = OUTPUT.replace(f"0 {kind}", f"7 {kind}")
        with pytest.raises(LoadError, match=f"^errors seen by h2load: 7 {kind}$"):
            load.parse(output)

    @pytest.mark.parametrize("done", ["1199", "0"])
    def test_other_statuses_void_it(self, done: str) -> None:
        """Each answer is of the class 2xx."""
        with pytest.raises(LoadError, match=f"^{done} answers of 1200 are 2xx$"):
            load.parse(OUTPUT.replace("1200 2xx", f"{done} 2xx"))

    def test_no_request_voids_it(self) -> None:
        """Nothing answered is no measurement, and no division by zero."""
        with pytest.raises(LoadError, match="^0 answers of 0 are 2xx$"):
            load.parse(OUTPUT.replace("1200", "0"))

    def test_other_output_is_shown(self) -> None:
        """Where a line is missing, the message shows what h2load printed instead."""
        with pytest.raises(LoadError, match="could not connect"):
            load.parse("could not connect to host\n")


class TestCommand:
    """h2load's command line."""

    @pytest.mark.parametrize(
        ("name", "url"),
        [
            ("h2", "http://127.0.0.1:81/"),
            ("h2big", "http://127.0.0.1:81/big"),
            ("h2tls", "https://127.0.0.1:81/"),
            ("h2stream", "http://127.0.0.1:81/stream"),
            ("h2upload", "http://127.0.0.1:81/upload"),
        ],
    )
    def test_url(self, name: str, url: str) -> None:
        """TLS where the workload has it, else HTTP/2 in clear text, h2load's way with http."""
        command = H2Load(3, 1, NAMED[name]).command(81, 9, Path("body"))
        assert command[:4] == ["taskset", "--cpu-list", "3", "h2load"]
        assert command[-1] == url

    def test_connections_and_streams(self) -> None:
        """16 connections with 32 streams on each."""
        line = " ".join(H2Load(3, 1, NAMED["h2"]).command(81, 9, Path("body")))
        assert "--requests 9 --clients 16 --max-concurrent-streams 32 " in line

    def test_body(self) -> None:
        """An upload's body is from the file; without one h2load makes GET requests."""
        assert "--data" not in H2Load(3, 1, NAMED["h2"]).command(81, 9, Path("body"))
        command = H2Load(3, 1, NAMED["h2upload"]).command(81, 9, Path("body"))
        assert command[command.index("--data") + 1] == "body"


class TestRequests:
    """How many requests a slice is."""

    class Steady(H2Load):
        """A server that answers 20 000 requests a second."""

        def run(self, port: int, requests: int) -> Summary:
            return Summary(requests, requests / 20_000)

    class Slow(H2Load):
        """One that answers 100."""

        def run(self, port: int, requests: int) -> Summary:
            return Summary(requests, requests / 100)

    def test_slice_is_filled(self) -> None:
        """As many as are answered in the time, by a run that was long enough to tell."""
        assert self.Steady(0, 2, NAMED["h2"]).requests(81) == 40_000

    def test_every_stream_has_one(self) -> None:
        """A slow server's slice is longer: with less not all streams would be used."""
        assert self.Slow(0, 2, NAMED["h2"]).requests(81) == 512


class TestContenders:
    """Who is measured."""

    def test_who_speaks_http_2(self) -> None:
        """This server, granian and hypercorn run all of them; Daphne those over TLS only."""
        measured = {
            workload.name: [
                one.name
                for one in CONTENDERS
                if one.takes_part_in(workload) and workload.name not in one.refusals
            ]
            for workload in HTTP2_WORKLOADS
        }
        clear = [OURS, "granian", "hypercorn"]
        assert measured == {
            **dict.fromkeys(["h2", "h2big", "h2stream", "h2upload"], clear),
            "h2tls": [*clear, "Daphne"],
        }
