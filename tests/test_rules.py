"""Rule ids in code and tests resolve on the rules' page (docs/reference/rules.rst)."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import rule_index

RULES = rule_index.read_rules()


@functools.cache
def holders() -> dict[str, Any]:
    """Return the tests of each rule; read once, by the worker that runs these tests."""
    return rule_index.find_holders(RULES)


MODULES = [
    path
    for folder in ("daphne_like", "tests", "twisted", "benchmarks", "examples")
    for path in sorted((rule_index.ROOT / folder).rglob("*.py"))
]


class TestPage:
    """Each id that is used stands on the page; each rule has a test or a reason."""

    def test_each_id_used_is_a_rule(self) -> None:
        """An id in a docstring or a comment is one of the page's rules."""
        unknown = [
            f"{path.relative_to(rule_index.ROOT)}:{line}: {id_}"
            for path in MODULES
            for line, id_ in rule_index.unknown_ids(path.read_text(encoding="utf-8"), RULES)
        ]
        assert not unknown, "not in docs/reference/rules.rst"

    def test_each_rule_has_a_test(self) -> None:
        """A test's docstring names the rule, or the rule's `untested` says why none does."""
        without = [id_ for id_ in RULES if not holders().get(id_) and not RULES[id_].untested]
        assert not without, "no test's docstring names it, and no `:untested:` says why"

    def test_untested_rules_have_none(self) -> None:
        """A rule that got a test no longer says why it has none."""
        assert not [id_ for id_ in RULES if holders().get(id_) and RULES[id_].untested]

    def test_each_rule_has_a_sentence_and_a_source(self) -> None:
        """The sentence ends with a full stop; the source does not, because the page adds one."""
        for id_, rule in RULES.items():
            assert rule.sentence.endswith("."), id_
            assert rule.source, id_
            assert not rule.source.endswith("."), id_


class TestSources:
    """Code and tests name rules and standards, and no text that is not in the repository."""

    def test_no_other_text_is_named(self) -> None:
        """No issue by its number, no design document, no file of notes."""
        pattern = re.compile(
            r"\b(the issues?\b|issues? \d|design(\.md)?, \d|(design|security|servers|daphne)\.md)",
            re.IGNORECASE,
        )
        found = [
            f"{path.relative_to(rule_index.ROOT)}:{line}"
            for path in MODULES
            if path != Path(__file__)
            for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if pattern.search(text)
        ]
        assert not found


class TestMentions:
    """What counts as an id in a text."""

    @pytest.mark.parametrize(
        ("text", "ids"),
        [
            ("C10: an invalid event (ASGI H30, W40)", {"C10", "H30", "W40"}),
            ("defects K5, K9, K10", {"K5", "K9", "K10"}),
            ("L01 to L03", {"L01", "L02", "L03"}),
            ("T02-T04; T06-T07", {"T02", "T03", "T04", "T06", "T07"}),
            ("W10 to W21", {"W10", "W11", "W20", "W21"}),
            ("C09, and up to C100", {"C09"}),
            ("HTTP2, H2, h11, H2C, an X509 name, K0, S3, C4, %C3%A9, XC10, C10_", set()),
            ("an unknown one: H99", {"H99"}),
        ],
    )
    def test_ids(self, text: str, ids: set[str]) -> None:
        """One letter of a family and two digits; a range names the known ones between."""
        assert rule_index.mentioned(text, RULES) == ids

    def test_where(self) -> None:
        """Docstrings and comments count; other strings, and the codes of a linter, do not."""
        source = '"""C01"""\nx = "C02"  # C03 # noqa: S10, S11\n"""C04"""\n'
        assert [text for _, text in rule_index.prose(source)] == ["C01", "C04", "# C03 # "]

    def test_unknown(self) -> None:
        """An unknown id is found with its line; one in another string is not."""
        source = 'a = "H98"\n\n"""C01, H99."""\n'
        assert rule_index.unknown_ids(source, RULES) == [(3, "H99")]


class TestHolders:
    """Which tests are listed under a rule."""

    def test_the_innermost_that_names_it(self, tmp_path: Path) -> None:
        """A class is listed where no test of it names the rule, else the tests; helpers never."""
        (tmp_path / "http").mkdir()
        (tmp_path / "http" / "test_one.py").write_text(
            '"""C01, C02."""\n'
            "class TestA:\n"
            '    """C02, C03."""\n'
            "    def test_a(self):\n"
            '        """C03."""\n'
            "    def helper(self):\n"
            '        """C04."""\n'
            "async def test_b():\n"
            '    """C03 to C05."""\n'
        )
        (tmp_path / "helper.py").write_text('"""C06."""\ndef help():\n    """C07."""\n')
        known = [f"C0{number}" for number in range(1, 8)]
        listed = {
            id_: [(holder.path, holder.name) for holder in found]
            for id_, found in rule_index.find_holders(known, tmp_path).items()
        }
        path = "http/test_one.py"
        assert listed == {
            "C01": [(path, "")],
            "C02": [(path, "TestA")],
            "C03": [(path, "TestA.test_a"), (path, "test_b")],
            "C04": [(path, "test_b")],
            "C05": [(path, "test_b")],
        }


class TestReading:
    """How the page is read."""

    @pytest.mark.parametrize(
        "text",
        [
            "\n.. rule:: C01\n   :source: a\n\n   One.\n" * 2,
            "\n.. rule:: C1\n   :source: a\n\n   One.\n",
            "\n.. rule:: C01\n   :source: a\n   One.\n",
        ],
        ids=["twice", "no id", "no empty line"],
    )
    def test_a_bad_page(self, text: str, tmp_path: Path) -> None:
        """A rule that would not be read is an error, so none is overlooked."""
        page = tmp_path / "rules.rst"
        page.write_text(text)
        with pytest.raises(ValueError, match=r"rules\.rst"):
            rule_index.read_rules(page)
