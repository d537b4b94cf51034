"""The pid file is locked by the process that it names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.process.pid_file import PidFile
from tests.support import programs

OURS = f"{os.getpid()}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "site.pid"


def refusal(path: Path) -> ConfigurationError:
    """The error of a file that cannot be taken."""
    with pytest.raises(ConfigurationError) as caught, PidFile(str(path)):
        pass
    return caught.value


class TestTaken:
    """While the server runs."""

    def test_it_holds_the_number(self, path: Path) -> None:
        """And is removed at the end."""
        with PidFile(str(path)):
            assert path.read_text() == OURS
        assert not path.exists()

    def test_no_path(self) -> None:
        """Without the option nothing happens."""
        with PidFile(None):
            pass

    @pytest.mark.parametrize("left", ["", "1\n", f"{os.getppid()}\n", "99999999999\n", " 12 "])
    def test_an_old_number_is_not_believed(self, path: Path, left: str) -> None:
        """It may be that of another process, which lives."""
        path.write_text(left)
        with PidFile(str(path)):
            assert path.read_text() == OURS

    def test_a_second_one_is_refused(self, path: Path) -> None:
        """One sentence with the number, status 1; the file is not changed."""
        with PidFile(str(path)):
            error = refusal(path)
            assert error.exit_status == 1
            assert str(error) == (
                f"--pid-file: {path} is locked by a server that runs, process {os.getpid()}"
            )
            assert path.read_text() == OURS
        with PidFile(str(path)):
            assert path.read_text() == OURS

    def test_a_file_of_another_server_stays(self, path: Path) -> None:
        """It has been removed and made again: it is not ours to remove."""
        with PidFile(str(path)):
            path.unlink()
            path.write_text("4711\n")
        assert path.read_text() == "4711\n"

    def test_a_file_that_is_gone(self, path: Path) -> None:
        """Somebody has removed it; the end is no error."""
        with PidFile(str(path)):
            path.unlink()

    def test_a_killed_server_holds_no_lock(self, path: Path) -> None:
        """Its number stays, its lock does not."""
        program = f"""
            import os, signal
            from daphne_like.process.pid_file import PidFile
            with PidFile({str(path)!r}):
                os.kill(os.getpid(), signal.SIGKILL)
        """
        assert programs.run(program).returncode == -9
        assert path.read_text() != OURS
        with PidFile(str(path)):
            assert path.read_text() == OURS

    def test_a_child_does_not_keep_the_lock(self, path: Path) -> None:
        """A forked child has the same open file; what it starts has none."""
        with PidFile(str(path)):
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(writing)
                os.read(reading, 1)  # until the parent has closed it
                os._exit(0)
            listed = subprocess.run(
                [sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd'))"],
                capture_output=True, text=True, check=True, close_fds=False,
            )  # fmt: skip
            assert str(path) not in listed.stdout
        with PidFile(str(path)):
            assert path.read_text() == OURS
        os.close(reading)
        os.close(writing)
        os.waitpid(child, 0)


class TestRefused:
    """What is no pid file is not overwritten."""

    @pytest.mark.parametrize("content", ["import this\n", "12 13\n", "1" * 40, "-1\n"])
    def test_other_content(self, path: Path, content: str) -> None:
        """A mistyped path must not cost a file."""
        path.write_text(content)
        error = refusal(path)
        assert (error.exit_status, path.read_text()) == (2, content)
        assert "is no pid file" in str(error)

    def test_no_file(self, tmp_path: Path) -> None:
        """A folder, a device, a link, a folder that is missing."""
        (tmp_path / "link").symlink_to(tmp_path / "target")
        assert "Is a directory" in str(refusal(tmp_path))
        assert "is no pid file" in str(refusal(Path(os.devnull)))
        assert "cannot write" in str(refusal(tmp_path / "link"))
        assert "No such file" in str(refusal(tmp_path / "missing" / "site.pid"))
        assert not (tmp_path / "target").exists()
