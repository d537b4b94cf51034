"""The stand-in for `daphne.testing`, and that a real Daphne always wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.python_runs import Run

LINE = "from daphne_like.testing import stand_in_for_daphne; stand_in_for_daphne()\n"


@pytest.fixture
def daphne(tmp_path: Path) -> Path:
    """A folder with what stands for a real Daphne: a package and its metadata."""
    folder = tmp_path / "site"
    (folder / "daphne").mkdir(parents=True)
    (folder / "daphne" / "__init__.py").write_text("__version__ = '4.2.3'\n")
    (folder / "daphne" / "testing.py").write_text("class DaphneProcess: real = True\n")
    metadata = folder / "daphne-4.2.3.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: daphne\nVersion: 4.2.3\n")
    return folder


class TestWithoutDaphne:
    """Where no Daphne is installed."""

    def test_the_names_are_ours(self, program: Run) -> None:
        """`daphne.testing` has Daphne's four names, and they are those of daphne_like.testing."""
        program(
            LINE + "import daphne.testing, daphne_like.testing as ours\n"
            "for name in ('BaseDaphneTestingInstance', 'DaphneProcess', 'DaphneTestingInstance',"
            " 'TestApplication'):\n"
            "    assert getattr(daphne.testing, name) is getattr(ours, name)\n"
        )

    def test_twice_is_once(self, program: Run) -> None:
        """Calling the line twice installs one finder."""
        program(
            LINE * 2 + "import sys\n"
            "assert sum(type(finder).__name__ == 'StandIn' for finder in sys.meta_path) == 1\n"
        )

    def test_metadata_says_that_daphne_is_missing(self, program: Run) -> None:
        """importlib.metadata finds no distribution, before and after the import."""
        program(
            LINE + "import daphne.testing\n"
            "from importlib.metadata import version, PackageNotFoundError\n"
            "try:\n    version('daphne')\n"
            "except PackageNotFoundError:\n    pass\n"
            "else:\n    raise AssertionError\n"
        )

    @pytest.mark.parametrize("name", ["server", "cli", "apps", "management", "checks"])
    def test_nothing_else_is_found(self, program: Run, name: str) -> None:
        """Other modules of Daphne are missing, as they are without the line."""
        program(
            LINE + f"try:\n    import daphne.{name}\n"
            f"except ModuleNotFoundError as error:\n    assert error.name == 'daphne.{name}'\n"
            "else:\n    raise AssertionError\n"
        )

    def test_django_refuses_the_app(self, program: Run) -> None:
        """`daphne` left in INSTALLED_APPS is refused, and not served by a stand-in."""
        program(
            LINE + "import django\n"
            "from django.conf import settings\n"
            "from django.core.exceptions import ImproperlyConfigured\n"
            "settings.configure(INSTALLED_APPS=['daphne'])\n"
            "try:\n    django.setup()\n"
            "except ImproperlyConfigured:\n    pass\n"
            "else:\n    raise AssertionError\n"
        )


class TestWithDaphne:
    """Where a Daphne is installed."""

    REAL = "import daphne, daphne.testing; assert daphne.testing.DaphneProcess.real\n"

    def test_the_real_one_wins(self, program: Run, daphne: Path) -> None:
        """After the line `daphne.testing` is the real one's."""
        program(LINE + self.REAL, FIRST=str(daphne))

    def test_one_installed_later_wins(self, program: Run, daphne: Path) -> None:
        """So it is when Daphne can be found only after the line."""
        program(f"{LINE}import sys; sys.path.append({str(daphne)!r})\n{self.REAL}")

    def test_a_broken_one_is_not_repaired(self, program: Run, daphne: Path) -> None:
        """A real Daphne without `testing` keeps its own error."""
        (daphne / "daphne" / "testing.py").unlink()
        program(
            LINE + "try:\n    import daphne.testing\n"
            "except ModuleNotFoundError:\n    pass\n"
            "else:\n    raise AssertionError\n",
            FIRST=str(daphne),
        )

    def test_the_plugin_leaves_it(self, run: Run, daphne: Path, tmp_path: Path) -> None:
        """Under pytest with our plug-in too."""
        (tmp_path / "test_real.py").write_text(f"def test_real():\n    {self.REAL}")
        done = run("-m", "pytest", "-q", FIRST=str(daphne))
        assert "1 passed" in done.stdout, done.stdout


class TestImporting:
    """Every test run of every user imports the plug-in."""

    @pytest.mark.parametrize("name", ["daphne_like.testing", "daphne_like.pytest_plugin"])
    def test_nothing_comes_with_it(self, program: Run, name: str) -> None:
        """No reactor, no Twisted, no Django, no server, no multiprocessing."""
        program(
            f"import sys, {name}\n"
            "heavy = {'twisted', 'django', 'asyncio', 'multiprocessing', 'asgiref',"
            " 'daphne_like.server', 'daphne_like.options'}\n"
            # pytest's own imports are not ours
            "if 'pytest' in sys.modules: heavy -= {'asyncio', 'multiprocessing'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        )

    def test_the_names_install_no_reactor(self, program: Run) -> None:
        """Taking every public name leaves the process without a reactor."""
        program(
            "import sys, daphne_like.testing as testing\n"
            "from django.conf import settings\n"
            "settings.configure()\n"
            "for name in testing.__all__: getattr(testing, name)\n"
            "assert 'twisted.internet.reactor' not in sys.modules\n"
        )
