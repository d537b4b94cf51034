"""The command's own parts: selections, reports, verdict and table, without a suite."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import python2, results, running, suite, summary
from tests.conformance.cases import CHAPTERS, select
from tests.conformance.problems import ConformanceError, MissingError
from tests.conformance.results import Result
from tests.conformance.servers import ASYNCIO, NATIVE

AGENT = "echo"


def write_reports(folder: Path, *cases: str, **changes: Any) -> None:
    """Reports as the suite writes them: an index, and a file for each case."""
    folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, Any] = {}
    for case in cases:
        name = f"{AGENT}_case_{case.replace('.', '_')}.json"
        report = {
            "id": case,
            "behavior": "OK",
            "behaviorClose": "OK",
            "description": "Send <b>this</b>.<br>",
            "expectation": "Receive &lt;it&gt;.",
            "received": [["message", "Hello", False], ["timeout", "A"]],
            "result": "Ok.",
            "resultClose": "Closed.",
            "remoteCloseCode": 1000,
            "duration": 3,
            "started": "2026-11-21T10:00:00.000Z",
            **changes,
        }
        (folder / name).write_text(json.dumps(report))
        index[case] = {"reportfile": name}
    (folder / "index.json").write_text(json.dumps({AGENT: index}))


def result(folder: Path, **changes: Any) -> Result:
    """One result."""
    write_reports(folder, "6.4.1", **changes)
    return results.of_last_run(folder)[0]


class TestSelection:
    """What --cases takes."""

    @pytest.mark.parametrize(
        ("text", "patterns"),
        [
            ("1-3,10", ["1.*", "2.*", "3.*", "10.*"]),
            ("10, 7-9", ["7.*", "9.*", "10.*"]),
            ("1.*,9.1.6,9.1.*", ["1.*", "9.1.6", "9.1.*"]),
            ("all", [f"{number}.*" for number in CHAPTERS]),
            ("2,1-2", ["1.*", "2.*"]),
        ],
    )
    def test_chapters_and_cases(self, text: str, patterns: list[str]) -> None:
        """Ranges leave out what the suite does not have; nothing comes twice."""
        assert select(text) == patterns

    @pytest.mark.parametrize("text", ["", "8", "7-", "x", "8.1", "1..2", "1.*.", "*", "1,,2"])
    def test_anything_else_is_refused(self, text: str) -> None:
        """The suite would wait for ever with nothing to run."""
        with pytest.raises(ValueError, match=r"^expected all, 1-7"):
            select(text)


class TestReports:
    """What is read of the suite's reports."""

    def test_a_report_becomes_a_result(self, tmp_path: Path) -> None:
        """Without the HTML that the suite writes."""
        assert result(tmp_path) == Result(
            case="6.4.1",
            behavior="OK",
            behavior_close="OK",
            description="Send this .",
            expectation="Receive <it>.",
            received="message Hello, timeout A",
            found="Ok.",
            found_close="Closed.",
            close_code=1000,
            milliseconds=3,
            started="2026-11-21T10:00:00.000Z",
        )

    def test_cases_are_in_their_order(self, tmp_path: Path) -> None:
        """By number, not by letter."""
        write_reports(tmp_path, "10.1.1", "1.2.10", "1.2.9")
        assert [one.case for one in results.of_last_run(tmp_path)] == ["1.2.9", "1.2.10", "10.1.1"]

    def test_without_an_index_nothing_was_run(self, tmp_path: Path) -> None:
        """Reports of an earlier run do not count."""
        write_reports(tmp_path, "1.1.1")
        (tmp_path / "index.json").unlink()
        assert results.of_last_run(tmp_path) == []

    def test_the_latest_of_all_runs_counts(self, tmp_path: Path) -> None:
        """Whatever the order of the folders."""
        for folder, day in (("a", "21"), ("b", "22"), ("c", "20")):
            write_reports(tmp_path / folder, "1.1.1", started=f"2026-11-{day}", duration=int(day))
        assert [one.milliseconds for one in results.of_all_runs(tmp_path)] == [22]

    def test_the_table_has_every_word(self, tmp_path: Path) -> None:
        """The words that only `behaviorClose` knows come when they are needed."""
        assert results.table([result(tmp_path, behaviorClose="UNCLEAN")]).splitlines() == [
            "              OK NON-STRICT INFORMATIONAL UNIMPLEMENTED FAILED UNCLEAN",
            "behavior       1          0             0             0      0       0",
            "behaviorClose  0          0             0             0      0       1",
        ]


class TestVerdict:
    """What stands against a server."""

    @pytest.mark.parametrize("word", ["FAILED", "NON-STRICT", "WRONG CODE", "UNCLEAN"])
    @pytest.mark.parametrize("key", ["behavior", "behaviorClose"])
    def test_it_does(self, tmp_path: Path, key: str, word: str) -> None:
        """Of either kind of behavior."""
        found = result(tmp_path, **{key: word})
        assert running.Run([found], []).unexplained == [found]

    @pytest.mark.parametrize("word", ["OK", "INFORMATIONAL", "UNIMPLEMENTED"])
    def test_it_does_not(self, tmp_path: Path, word: str) -> None:
        """An extension may be left out."""
        assert not running.Run([result(tmp_path, behavior=word)], []).unexplained

    @pytest.mark.parametrize(("word", "excused"), [("NON-STRICT", True), ("FAILED", False)])
    def test_a_reason_excuses(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, excused: bool
    ) -> None:
        """A deviation from a "should", never one from a "must"."""
        monkeypatch.setattr(running, "EXPLAINED", {"6.4.1": "a reason"})
        found = running.Run([result(tmp_path, behavior=word)], [])
        assert (found.unexplained == []) is excused

    def test_tracebacks_are_seen(self, tmp_path: Path) -> None:
        """In any of the server's logs."""
        quiet, loud = tmp_path / "quiet", tmp_path / "loud"
        quiet.write_text("nothing\n")
        loud.write_text(f"{running.TRACEBACK}\n")
        assert running.Run([], [quiet, loud]).tracebacks == [loud]


class TestSummary:
    """The table in the documentation."""

    def test_chapters_and_what_is_not_ok(self, tmp_path: Path) -> None:
        """The worse of a case's two words is counted; a case that is not good is named."""
        for server, close in ((NATIVE, "OK"), (ASYNCIO, "UNCLEAN")):
            for number, chapter in CHAPTERS.items():
                cases = [f"{number}.{index}" for index in range(1, chapter.cases + 1)]
                write_reports(tmp_path / server.name, *cases)
            write_reports(tmp_path / server.name, "2.5", behavior="INFORMATIONAL")
            write_reports(tmp_path / server.name, "3.7", behaviorClose=close)
            write_reports(tmp_path / server.name, "13.9", behavior="FAILED", description="a*")
        path = tmp_path / "summary.txt"
        summary.write(tmp_path, path)
        lines = path.read_text().splitlines()
        rows = [re.split(" {2,}", line) for line in lines]
        assert rows[6][:4] == ["2", "Pings and pongs", "11", "10 OK, 1 INFORMATIONAL"]
        assert rows[7] == ["3", "Reserved bits", "7", "7 OK", "6 OK, 1 UNCLEAN"]
        assert rows[-12][-2:] == ["125 OK, 1 FAILED", "125 OK, 1 FAILED"]
        assert lines[-8:] == [
            "13.9 (native reactor): FAILED, closing OK",
            "    a\\* Expected: Receive <it>. Received: message Hello, timeout A.",
            "",
            "3.7 (stock asyncio reactor): OK, closing UNCLEAN",
            "    Closed.",
            "",
            "13.9 (stock asyncio reactor): FAILED, closing OK",
            "    a\\* Expected: Receive <it>. Received: message Hello, timeout A.",
        ]

    def test_a_case_without_a_report_is_an_error(self, tmp_path: Path) -> None:
        """Half a run is no result."""
        write_reports(tmp_path / NATIVE.name, "1.1")
        with pytest.raises(ConformanceError, match="chapter 1 has 16 cases"):
            summary.write(tmp_path, tmp_path / "summary.txt")


class TestInstallation:
    """The folder with the suite."""

    def test_without_python_2_a_sentence_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither on the search path nor under pyenv."""
        for name in ("PATH", "HOME", "PYENV_ROOT"):
            monkeypatch.setenv(name, str(tmp_path))
        with pytest.raises(MissingError, match=r"install it with `pyenv install 2\.7\.18`\.$"):
            suite.install(tmp_path / "suite", print)

    def test_a_folder_that_is_there_is_used(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is said, nothing is installed."""
        interpreter = python2.Interpreter("/python2.7")
        monkeypatch.setattr(python2, "find", lambda: interpreter)
        made_of = f"/python2.7\n{suite.ACCELERATION}\n{suite.REQUIREMENTS.read_text()}"
        (tmp_path / "made-of.txt").write_text(made_of)
        assert suite.install(tmp_path, pytest.fail) == suite.Suite(tmp_path, interpreter)

    def test_python_variables_of_ours_do_not_reach_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """PYTHONWARNINGS=error, as CI may set it, would end it at once."""
        monkeypatch.setenv("PYTHONPATH", "/ours")
        monkeypatch.setenv("PYTHONHOME", "/ours")
        environment = python2.Interpreter("").environment(PYTHONPATH="/suite")
        assert environment["PYTHONPATH"] == "/suite"
        assert "PYTHONHOME" not in environment
