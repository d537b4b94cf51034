"""The benchmark's report: wrk's line, medians, ratios, tables and chart, all in memory."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import chart, http_workloads, load, results, tables
from benchmarks.__main__ import arguments, needs_peers
from benchmarks.callgrind import total
from benchmarks.catalogue import WORKLOADS
from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.measurement import rotated
from benchmarks.results import Outcome, Report, Row, Sample, summarise
from benchmarks.websocket import workloads as websocket
from benchmarks.workloads import Unit

SUMMARY_LINE = (
    "summary: requests=1200 microseconds=2000000 connect=0 read=0 write=0 status=0 timeout=0\n"
)
WRK_OUTPUT = (
    "Running 2s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n" + SUMMARY_LINE
)

MACHINE = {"processor": "Example <9000> & *Sons, 2 cores", "kernel": "Linux 6.1"}
SVG = "{http://www.w3.org/2000/svg}"


def outcome(contender: str, *figures: float) -> Outcome:
    return Outcome(contender, tuple(Sample(one, 1e6 / one, 30.0) for one in figures))


def report() -> Report:
    hello = [outcome(OURS, 10.0, 12.0, 11.0), outcome("granian", 22.0), outcome("Daphne", 1650.0)]
    idle = [
        Outcome(OURS, (Sample(4.0, None, 50.0),)),
        Outcome("granian", refusal="no answer within 10 s"),
        Outcome("Daphne", (Sample(7.0, None, 90.0),)),
    ]
    rows = [
        *summarise(http_workloads.HELLO, hello, OURS),
        *summarise(http_workloads.IDLE, idle, OURS),
    ]
    return Report(
        machine=MACHINE,
        versions={OURS: "1.0", "granian": "2.8.7", "Daphne": None},
        settings={"rounds": 3},
        workloads=[http_workloads.HELLO, http_workloads.IDLE],
        rows=rows,
    )


class TestWrkSummary:
    """What is read of wrk: the line that the script prints."""

    def test_requests_and_duration(self) -> None:
        """Requests as counted; microseconds become seconds."""
        assert load.parse(WRK_OUTPUT) == load.Summary(count=1200, seconds=2.0)

    @pytest.mark.parametrize("kind", ["connect", "read", "write", "status", "timeout"])
    def test_any_error_voids_the_slice(self, kind: str) -> None:
        """An answer of 400 or more, or a socket error, is no measurement."""
        output = WRK_OUTPUT.replace(f"{kind}=0", f"{kind}=7")
        with pytest.raises(load.LoadError, match=f"^errors seen by wrk: 7 {kind}$"):
            load.parse(output)

    def test_no_request_voids_the_slice(self) -> None:
        """Nothing answered is no measurement, and no division by zero."""
        with pytest.raises(load.LoadError, match="no request was answered"):
            load.parse(WRK_OUTPUT.replace("requests=1200", "requests=0"))

    def test_other_output_is_shown(self) -> None:
        """Where the line is missing, the message shows what wrk printed instead."""
        with pytest.raises(load.LoadError, match="unable to connect"):
            load.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


class TestWrkScript:
    """The script that wrk runs."""

    def test_bare_get_sets_only_the_method(self) -> None:
        """A bare GET stays bare."""
        script = load.lua_script(http_workloads.HELLO, Path("body"))
        assert script.splitlines()[0] == 'wrk.method = "GET"'
        assert "wrk.headers" not in script
        assert "wrk.body" not in script

    def test_fields_and_body(self) -> None:
        """A POST brings its fields, and its body from the file."""
        script = load.lua_script(http_workloads.JSON, Path("body"))
        assert (
            'wrk.headers["Content\\045Type"] = "application\\047json"\n'
            'wrk.body = io.open("body", "rb"):read("*a")\n'
        ) in script

    @pytest.mark.parametrize(
        ("text", "quoted"),
        [
            ("plain9", '"plain9"'),
            ('a"b\\c\n', '"a\\034b\\092c\\010"'),
            ("\x071", '"\\0071"'),
            ("\u00e9", '"\\195\\169"'),
        ],
    )
    def test_quoting(self, text: str, quoted: str) -> None:
        """Lua 5.1: octets that are no letter or digit are escapes of three decimal digits."""
        assert load.lua_string(text) == quoted


class TestSummary:
    """Samples become rows."""

    def test_figure_is_the_median(self) -> None:
        """One slow slice does not move the figure."""
        (row,) = summarise(http_workloads.HELLO, [outcome("granian", 20.0, 500.0, 21.0)], OURS)
        assert row.figure == 21.0

    def test_ratio_is_to_ours(self) -> None:
        """A contender that needs twice our time has the ratio 2, and we have 1."""
        rows = summarise(
            http_workloads.HELLO, [outcome("granian", 22.0), outcome(OURS, 11.0)], OURS
        )
        assert [row.ratio for row in rows] == [2.0, 1.0]

    def test_no_ratio_without_ours(self) -> None:
        """Where we were not measured there is nothing to divide by."""
        (row,) = summarise(http_workloads.HELLO, [outcome("granian", 22.0)], OURS)
        assert row.ratio is None

    @pytest.mark.parametrize("ours", [0.0, -0.5])
    def test_no_ratio_to_nothing(self, ours: float) -> None:
        """Memory may not grow, or may shrink; a ratio to that says nothing."""
        assert results.ratio(960.0, ours) is None

    def test_refusal_drops_earlier_samples(self) -> None:
        """A contender that failed in a later round has no figure, but a reason."""
        failed = Outcome("granian", (Sample(22.0, 1.0, 1.0),), refusal="errors seen by wrk: 1 read")
        (row,) = summarise(http_workloads.HELLO, [failed], OURS)
        assert row == Row("hello", "granian", refusal="errors seen by wrk: 1 read")

    def test_memory_has_no_rate(self) -> None:
        """Where no load was made there are no requests per second."""
        quiet = Outcome(OURS, (Sample(4.0, None, 50.0),))
        (row,) = summarise(http_workloads.IDLE, [quiet], OURS)
        assert (row.figure, row.per_second, row.resident_mib) == (4.0, None, 50.0)


class TestOrder:
    """Contenders take turns, and each round begins with another one."""

    @pytest.mark.parametrize(("places", "order"), [(0, "abc"), (1, "bca"), (2, "cab"), (3, "abc")])
    def test_rotation(self, places: int, order: str) -> None:
        """Round n begins with contender n, and returns to the first."""
        assert "".join(rotated("abc", places)) == order

    def test_nobody(self) -> None:
        """No contender left is no error."""
        assert rotated("", 2) == []


class TestText:
    """The table for the terminal."""

    GRANIAN = "granian                     n/a      \u2013           \u2013             \u2013"

    def test_table(self) -> None:
        """One line a contender, in the order measured; a refusal stands beside its line."""
        assert tables.text(report()).split("\n\n")[1].splitlines() == [
            "idle: 4 000 idle keep-alive connections",
            "contender    KiB per connection  ratio  requests/s  resident MiB",
            "-----------  ------------------  -----  ----------  ------------",
            "daphne_like                4.00  1.00\u00d7           \u2013          50.0",
            self.GRANIAN + "  no answer within 10 s",
            "Daphne                     7.00  1.75\u00d7           \u2013          90.0",
        ]

    def test_facts_follow(self) -> None:
        """The machine, the versions and the settings end the text."""
        assert tables.text(report()).endswith(
            "\n\nprocessor: Example <9000> & *Sons, 2 cores\nkernel: Linux 6.1\n"
            "versions: daphne_like 1.0, granian 2.8.7, Daphne ?\nsettings: 3 rounds\n"
        )

    @pytest.mark.parametrize(
        ("figure", "shown"),
        [(None, "n/a"), (6.9, "6.90"), (10.84, "10.8"), (158.6, "159"), (-0.25, "-0.25")],
    )
    def test_three_significant_digits(self, figure: float | None, shown: str) -> None:
        """More digits than the measurement has would mislead."""
        assert tables.figure_text(figure) == shown


def mixed_report() -> Report:
    """Both kinds, and a contender that has a line in one workload only."""
    hello = [outcome(OURS, 10.0), outcome("fastpysgi", 22.0)]
    echo = [
        outcome(OURS, 8.0),
        Outcome("fastpysgi", refusal="it has no WebSocket"),
        outcome("picows-floor", 4.0),
    ]
    rows = [
        *summarise(http_workloads.HELLO, hello, OURS),
        *summarise(websocket.ECHO, echo, OURS),
    ]
    return Report(MACHINE, {OURS: "1.0"}, {}, [http_workloads.HELLO, websocket.ECHO], rows)


class TestBothKinds:
    """HTTP and WebSocket in one report."""

    FASTPYSGI = "fastpysgi                    n/a      \u2013           \u2013             \u2013"

    def test_table(self) -> None:
        """A message is not a request."""
        assert tables.text(mixed_report()).split("\n\n")[1].splitlines() == [
            "ws: echo of 32 octets of text",
            "contender     CPU \u00b5s per message  ratio  messages/s  resident MiB",
            "------------  ------------------  -----  ----------  ------------",
            "daphne_like                 8.00  1.00\u00d7     125\u202f000          30.0",
            self.FASTPYSGI + "  it has no WebSocket",
            "picows-floor                4.00  0.50\u00d7     250\u202f000          30.0",
        ]

    def test_overview(self) -> None:
        """Who takes no part in a workload has an empty cell, who does not manage it "n/a"."""
        overview = tables.restructured_text(mixed_report()).split("\n\n.. list-table")[0]
        rows = [row.strip().split("\n     - ") for row in overview.split("   * - ")[1:]]
        assert rows == [
            ["workload", "unit", OURS.replace("_", "\\_"), "fastpysgi", "picows-floor"],
            ["hello", Unit.REQUEST.value, "10.0 (1.00\u00d7)", "22.0 (2.20\u00d7)", "\u2013"],
            ["ws", Unit.MESSAGE.value, "8.00 (1.00\u00d7)", "n/a", "4.00 (0.50\u00d7)"],
        ]

    @pytest.mark.parametrize(
        ("unit", "rate"),
        [
            (Unit.REQUEST, "requests/s"),
            (Unit.MESSAGE, "messages/s"),
            (Unit.HANDSHAKE, "connections/s"),
        ],
    )
    def test_rate(self, unit: Unit, rate: str) -> None:
        """The column is headed by what was counted."""
        assert unit.rate == rate


class TestRestructuredText:
    """The tables that the docs include."""

    def test_docutils_accepts_it(self) -> None:
        """An overview and a table for each workload, without a warning."""
        docutils = pytest.importorskip("docutils.core", reason="pip install docutils")
        document = docutils.publish_doctree(
            tables.restructured_text(report()), settings_overrides={"halt_level": 2}
        )
        titles = [node.astext() for node in document.findall() if node.tagname == "title"]
        assert titles == [
            "Figure, and its ratio to daphne_like's; lower is better",
            "hello: bare GET",
            "idle: 4 000 idle keep-alive connections",
        ]

    def test_overview_cell(self) -> None:
        """A cell of the overview is the figure and its ratio."""
        assert "     - 22.0 (2.00\u00d7)\n" in tables.restructured_text(report())


class TestJson:
    """The record of a run."""

    def test_samples_are_kept(self) -> None:
        """Every slice can be looked at again."""
        content = json.loads(tables.as_json(report()))
        assert [one["figure"] for one in content["rows"][0]["samples"]] == [10.0, 12.0, 11.0]
        assert content["machine"] == MACHINE


class TestChart:
    """The chart."""

    def bars(self) -> list[ET.Element]:
        root = ET.fromstring(chart.svg(report()))
        return [one for one in root.iter(f"{SVG}rect") if one.get("class") == "bar"]

    def test_one_bar_a_figure(self) -> None:
        """Who has a figure has a bar; who has none has not."""
        assert len(self.bars()) == 5

    def test_longest_bar_fills_the_panel(self) -> None:
        """Each panel has its own scale, up to its longest bar."""
        longest = [float(bar.get("width", "")) for bar in self.bars()][2::2]
        assert longest == [round(chart.BAR_WIDTH, 1)] * 2

    @pytest.mark.parametrize(
        ("figure", "width"),
        [
            (None, 0.0),
            (-1.0, chart.SHORTEST_BAR),
            (0.0, chart.SHORTEST_BAR),
            (50.0, round(chart.BAR_WIDTH / 2, 1)),
            (100.0, round(chart.BAR_WIDTH, 1)),
        ],
    )
    def test_bar_width(self, figure: float | None, width: float) -> None:
        """Length is proportional; what is there is seen, even next to nothing."""
        assert chart.bar_width(figure, 100.0) == width

    def test_nothing_grew(self) -> None:
        """A panel where nobody grew is no division by zero."""
        assert chart.bar_width(0.0, 0.0) == chart.SHORTEST_BAR

    def test_ours_is_highlighted(self) -> None:
        """Our bar is marked in each panel, and nobody else's."""
        root = ET.fromstring(chart.svg(report()))
        groups = [one for one in root.iter(f"{SVG}g") if one.get("class") == "contender ours"]
        assert [group[0].text for group in groups] == [OURS, OURS]

    def test_narrow(self) -> None:
        """For a telephone, the same panels below one another, each as wide as before."""
        wide, narrow = (
            ET.fromstring(chart.svg(report(), columns)) for columns in (chart.WIDE, chart.NARROW)
        )
        assert float(narrow.get("width", "")) < float(wide.get("width", "")) / 1.9
        assert [one.get("width") for one in narrow.iter(f"{SVG}rect")][1:] == [
            one.get("width") for one in wide.iter(f"{SVG}rect")
        ][1:]

    def test_titles_fit(self) -> None:
        """No workload's title runs into the next panel, or out of the page."""
        for workload in WORKLOADS:
            letters = len(chart.subtitle(workload))
            assert letters * chart.LETTER_WIDTH["quiet"] <= chart.PANEL_WIDTH, workload.name

    @pytest.mark.parametrize("columns", [chart.WIDE, chart.NARROW])
    def test_everything_is_inside(self, columns: int) -> None:
        """No bar and no line of text begins outside of the page."""
        root = ET.fromstring(chart.svg(mixed_report(), columns))
        width, height = float(root.get("width", "")), float(root.get("height", ""))
        for one in (*root.iter(f"{SVG}text"), *root.iter(f"{SVG}rect")):
            assert 0 <= float(one.get("x", "0")) < width
            assert 0 <= float(one.get("y", "0")) < height

    def test_both_schemes(self) -> None:
        """It is readable in a light and in a dark scheme."""
        assert "@media (prefers-color-scheme: dark)" in chart.svg(report())


class TestContenders:
    """The command lines."""

    def test_port_is_filled_in(self) -> None:
        """Every contender is told the port, and no placeholder stays."""
        for contender in (one for one in CONTENDERS if one.name != "ours-ssl"):
            line = " ".join(contender.command_line(Path("/peers"), 12345))
            assert "12345" in line
            assert "{" not in line

    def test_refusals_are_workloads(self) -> None:
        """What is not tried is a workload that exists."""
        names = {one.name for one in WORKLOADS}
        assert {name for contender in CONTENDERS for name in contender.refusals} <= names

    def test_floors_take_part_in_what_they_can(self) -> None:
        """Nobody serves on a floor: it has no line where it has nothing to show."""
        lines = {
            one.name: [work.name for work in WORKLOADS if one.takes_part_in(work)]
            for one in CONTENDERS
        }
        floor = ["hello", "browser", "varied", "tls", "tls-handshake", "tls-resume"]
        assert lines["uvloop-floor"] == floor
        assert lines["asgi-floor"] == ["hello", "tls"]
        assert lines["picows-floor"] == ["ws", "ws8k"]
        assert lines[OURS] == [work.name for work in WORKLOADS]


class TestPeersNeeded:
    """The virtual environment of the peers is made when it is used."""

    @pytest.mark.parametrize(
        ("line", "needed"),
        [
            (["--contenders", OURS, "--workloads", "hello", "idle"], False),
            (["--contenders", OURS, "--workloads", "hello", "ws"], True),
            (["--contenders", "uvicorn", "--workloads", "hello"], True),
        ],
    )
    def test_needed(self, line: list[str], needed: bool) -> None:
        """For any peer, and for the WebSocket load, which is picows."""
        assert needs_peers(arguments(line)) is needed


class TestSample:
    """A slice's counts become a sample."""

    class Server:
        def resident_octets(self) -> int:
            return 30 << 20

    def test_load_that_tells_its_own_time(self) -> None:
        """Whether server or load was the bottleneck can be seen."""
        sample = load.sample(self.Server(), 1.9, load.Summary(100_000, 2.0, 1.0))  # type: ignore[arg-type]
        assert sample == Sample(19.0, 50_000.0, 30.0, server_busy=0.95, load_busy=0.5)

    def test_load_that_does_not(self) -> None:
        """wrk tells nothing of its own time."""
        sample = load.sample(self.Server(), 1.0, load.Summary(100_000, 2.0))  # type: ignore[arg-type]
        assert (sample.server_busy, sample.load_busy) == (0.5, None)


class TestCallgrindProfile:
    """What is read of callgrind: the total."""

    def test_total(self) -> None:
        """The line "totals:" holds the instructions executed."""
        assert total("events: Ir\nfn=(1)\n0 5\n\ntotals: 109531441\n") == 109531441

    def test_no_total(self) -> None:
        """A profile cut short is refused."""
        with pytest.raises(ValueError, match="totals"):
            total("events: Ir\n")
