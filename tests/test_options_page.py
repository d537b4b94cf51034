"""The options' page says what holds (docs/reference/options.rst, made by docs/_ext)."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.launch.settings import SETTINGS
from daphne_like.listening.strings import endpoint_strings
from daphne_like.options import Options

ROOT = Path(__file__).parents[1]


def load(path: Path) -> Any:
    """A module of the documentation, which is no package."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module


ENTRIES = list(load(ROOT / "docs" / "_ext" / "option_index.py").entries())
FIELDS = {field.name: field for field in dataclasses.fields(Options)}
LIMITED = [entry for entry in ENTRIES if re.search(r"\d+ or more|\d+ to \d+", entry.values)]
COUNTED = [
    name for name, field in FIELDS.items() if type(field.default) in (int, float)
]  # what True is an instance of does not count


class TestEntries:
    """Each option has its entry."""

    def test_every_option_once(self) -> None:
        """Options of a group are together."""
        assert sorted(entry.name for entry in ENTRIES) == sorted(FIELDS)
        groups = [entry.group for entry in ENTRIES]
        assert len(groups) > len(set(groups))
        assert groups == sorted(groups, key=groups.index)

    def test_every_flag(self) -> None:
        """With the placeholder of its value."""
        for entry in ENTRIES:
            flags = tuple(signature.partition(" ")[0] for signature in entry.signatures)
            metadata = FIELDS[entry.name].metadata
            off = (metadata["off"],) if "off" in metadata else ()
            assert flags == metadata["flags"] + off

    def test_names_in_a_file_and_in_the_environment(self) -> None:
        """Both are accepted; what only Python sets has neither."""
        for entry in ENTRIES:
            has_flag = bool(entry.signatures)
            assert (bool(entry.key), bool(entry.variables)) == (has_flag, has_flag)
            if has_flag:
                (setting,) = [each for each in SETTINGS if each.key == entry.key]
                assert (setting.name, setting.variables) == (entry.name, entry.variables)

    @pytest.mark.parametrize("name", COUNTED)
    def test_default_of_a_number(self, name: str) -> None:
        """The number of Options(), and its unit if it counts something."""
        (entry,) = [entry for entry in ENTRIES if entry.name == name]
        assert entry.default.startswith(f"``{FIELDS[name].default}``")
        unit = entry.values.partition(",")[0]
        is_choice = unit.startswith("``")
        assert is_choice or unit == "a number" or entry.default.endswith(f" {unit}")

    def test_place_to_listen(self) -> None:
        """Options() has none; the page has what the server then takes."""
        found = {entry.name: entry.default.split("``")[1] for entry in ENTRIES if entry.name in
                 ("host", "port")}  # fmt: skip
        (string,) = endpoint_strings(Options())
        assert string.startswith(f"tcp:port={found['port']}:interface={found['host']}:")

    @pytest.mark.parametrize("entry", LIMITED, ids=[entry.name for entry in LIMITED])
    def test_limits_of_values(self, entry: Any) -> None:
        """The smallest and the largest value are taken, and one beyond is refused."""
        least, _, most = re.search(r"(\d+)(?: or more| (to) (\d+))", entry.values).groups()  # type: ignore[union-attr]
        taken = [int(least), *([int(most)] if most else [])]
        refused = [int(least) - 1, *([int(most) + 1] if most else [])]
        for value in taken:
            assert getattr(Options(**{entry.name: value}), entry.name) == value
        for value in refused:
            with pytest.raises(ConfigurationError):
                Options(**{entry.name: value})


class TestText:
    """reStructuredText that means what the help says."""

    def test_nothing_is_markup_by_accident(self) -> None:
        """Stars and underscores of the help are escaped; options are literal."""
        for entry in ENTRIES:
            outside = "".join(entry.text.split("``")[::2])
            assert not re.search(r"(?<!\\)[*`|]", outside), entry.text
            assert "--" not in outside, entry.text
