"""The TLS workloads: their credentials, command lines, tables and application, all in memory."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks import applications, http_workloads, load, tables
from benchmarks.__main__ import arguments, credentials_for, needs_peers
from benchmarks.applications import application
from benchmarks.contenders import CONTENDERS, OURS, Contender
from benchmarks.results import Outcome, Report, Sample, summarise
from benchmarks.tls import credentials, workloads
from benchmarks.tls.credentials import Credentials
from benchmarks.tls.transfers import Transfer
from benchmarks.workloads import Unit

FILES = Credentials(Path("/run/certificate.pem"), Path("/run/key.pem"))
SPEAKERS = [one for one in CONTENDERS if any(map(one.takes_part_in, workloads.TLS_WORKLOADS))]


class TestCredentials:
    """One certificate and one key for all contenders, made at the start of a run."""

    def test_key(self, tmp_path: Path) -> None:
        """EC P-256, in PKCS#8 since granian takes nothing else, for its owner alone."""
        made = credentials.make(tmp_path)
        assert made.key.read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
        assert made.key.stat().st_mode & 0o077 == 0
        key = x509.load_pem_x509_certificate(made.certificate.read_bytes()).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"

    def test_they_belong_together(self, tmp_path: Path) -> None:
        """OpenSSL loads both, which it does not where they do not match."""
        made = credentials.make(tmp_path)
        other = tmp_path / "other"
        other.mkdir()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.certificate, made.key)
        with pytest.raises(ssl.SSLError):  # and says so
            context.load_cert_chain(made.certificate, credentials.make(other).key)

    def test_only_where_needed(self) -> None:
        """A run without TLS makes none; afterwards the folder is gone."""
        with credentials_for([http_workloads.HELLO]) as none:
            assert none is None
        with credentials_for([http_workloads.HELLO, workloads.TLS]) as made:
            assert made is not None
            assert made.certificate.exists()
        assert not made.certificate.exists()


class TestCommands:
    """The command lines, where they are to speak TLS."""

    @pytest.mark.parametrize("contender", SPEAKERS, ids=lambda one: one.name)
    def test_port_and_files_are_filled_in(self, contender: Contender) -> None:
        """Every contender is told port, certificate and key, and no placeholder stays."""
        line = " ".join(contender.command_line(Path("/peers"), 12345, FILES))
        for part in ("12345", str(FILES.certificate), str(FILES.key)):
            assert part in line
        assert "{" not in line

    def test_who_takes_part(self) -> None:
        """Twisted's own TLS has a line of its own, and no workload without TLS."""
        names = [one.name for one in SPEAKERS]
        assert names == [
            *(OURS, "ours-ssl", "uvicorn", "granian", "hypercorn", "Daphne", "fastpysgi"),
            *("uvloop-floor", "asgi-floor"),
        ]
        (twisted,) = (one for one in CONTENDERS if one.name == "ours-ssl")
        assert twisted.is_ours
        assert not twisted.takes_part_in(http_workloads.HELLO)

    def test_peers_are_not_needed_for_ours(self) -> None:
        """Both of ours are run by our interpreter, and so is the load of handshakes."""
        line = ["--contenders", OURS, "ours-ssl", "--workloads", "tls", "tls-handshake"]
        assert not needs_peers(arguments(line))

    @pytest.mark.parametrize(
        ("workload", "url"),
        [
            (http_workloads.HELLO, "http://127.0.0.1:81/"),
            (workloads.TLS, "https://127.0.0.1:81/"),
        ],
    )
    def test_scheme(self, workload: http_workloads.HTTPWorkload, url: str) -> None:
        """wrk speaks TLS where the workload does."""
        assert load.Wrk(0, 1, 1, workload).url(81) == url


class TestTables:
    """What is shown of a transfer: processor time and growth."""

    def test_growth_has_a_column(self) -> None:
        """Most resident memory above what it was before, the median of the rounds."""
        samples = tuple(
            Sample(1500.0, 220.0, 60.0, growth_mib=growth) for growth in (0.5, 90.0, 0.75)
        )
        rows = summarise(workloads.UPLOAD, [Outcome(OURS, samples)], OURS)
        report = Report({}, {}, {}, [workloads.UPLOAD], rows)
        assert tables.text(report).split("\n\n")[0].splitlines() == [
            "tls-upload: large POST over TLS",
            "contender    CPU \u00b5s per MB  ratio  MB/s  resident MiB  growth MiB",
            "-----------  -------------  -----  ----  ------------  ----------",
            "daphne_like           1500  1.00\u00d7   220          60.0         0.8",
        ]
        assert "     - growth MiB\n" in tables.restructured_text(report)

    def test_elsewhere_it_has_none(self) -> None:
        """A workload that measures time alone keeps its five columns."""
        rows = summarise(workloads.TLS, [Outcome(OURS, (Sample(15.0, 6e4, 60.0),))], OURS)
        assert "growth" not in tables.text(Report({}, {}, {}, [workloads.TLS], rows))

    @pytest.mark.parametrize(
        ("unit", "rate"), [(Unit.CONNECTION, "connections/s"), (Unit.TRANSFER, "MB/s")]
    )
    def test_rate(self, unit: Unit, rate: str) -> None:
        """The column is headed by what was counted."""
        assert unit.rate == rate


class TestDownload:
    """What every contender serves."""

    @pytest.mark.parametrize("octets", [0, 1, applications.CHUNK_OCTETS, 250_001])
    def test_length(self, octets: int) -> None:
        """As many octets as the request's body says, in chunks, and the length before them."""
        messages: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"%d" % octets, "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        scope: Any = {"type": "http", "path": "/download"}
        asyncio.run(application(scope, receive, send))
        start, *bodies = messages
        assert (b"content-length", b"%d" % octets) in start["headers"]
        assert sum(len(one["body"]) for one in bodies) == octets
        assert max(len(one["body"]) for one in bodies) <= applications.CHUNK_OCTETS
        assert [one["more_body"] for one in bodies] == [True] * (len(bodies) - 1) + [False]


class TestGrowth:
    """The most memory seen counts, not the last."""

    class Server:
        """Grows and shrinks."""

        def __init__(self) -> None:
            self._octets = iter((50, 70, 340, 90))

        def resident_octets(self) -> int:
            return next(self._octets)

    class Connection:
        """Has a time-out that can be set."""

        def settimeout(self, seconds: float) -> None:
            pass

    def test_peak(self) -> None:
        """A body held and given back again was held."""
        transfer = Transfer(self.Server(), self.Connection())  # type: ignore[arg-type]
        for _ in range(3):
            transfer.sample()
        assert transfer.growth_octets == 290
