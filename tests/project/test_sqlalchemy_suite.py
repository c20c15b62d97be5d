"""Run SQLAlchemy's own tests on the connection and cursor of a project on SQLite.

The tests come from the source distribution of the version that the project installs. A
plugin in `sqlalchemy_suite/` connects them with a driver. Each test that passes with stock
aiosqlite must pass with the project's `db/driver.py`: as it is, and with every query on the
event loop, since most of these queries run only once and would never leave the thread.

Only tests that use a cursor run. Left out are `test/sql/test_types.py`, which tests values
rather than cursors for half a minute, `test/sql/test_insert_exec.py`, whose tests of ordered
INSERTs repeat one another, and `test/engine/test_pool.py`, which waits for clocks. None of
the tests calls `fetchone` of the driver, or notices that a cancelled statement runs on.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.combinations import PROJECTS
from support.installing import Install, Installed, tmpfs_variables
from support.render import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX paths")

PLUGIN = Path(__file__).parent / "sqlalchemy_suite" / "driver_plugin.py"
OPTIONS = ("pytest", "-p", PLUGIN.stem, "-p", "no:asyncio", "--db", "aiosqlite_file")
TESTS = (
    "test/dialect/test_suite.py",
    "test/dialect/*sqlite*",
    "test/ext/asyncio",
    "test/sql/test_query.py",
    "test/sql/test_resultset.py",
    "test/sql/test_returning.py",
    "test/engine/test_execute.py",
    "test/engine/test_transaction.py",
    "test/orm/test_loading.py",
)

MIN_PASSED_TESTS = 2_800
"""With SQLAlchemy 2.1.9 there are 3,006; a release may remove a few."""

MIN_LOOP_SHARE = 0.9
"""Part of all queries that starts on the event loop where all may; some start over."""

ALWAYS_QUICK = {"QUICK_RUNS": 0, "QUICK_RUNS_AFTER_SLOW": 0}
"""Constants of `db/driver.py` with which every query starts on the event loop."""


@dataclass(frozen=True)
class Report:
    """Report of one run, which the plugin wrote."""

    passed: list[str]
    failed: dict[str, str]
    connections: dict[str, int]
    queries: dict[str, int]

    @property
    def loop_share(self) -> float:
        """The part of all queries that started on the event loop."""
        return self.queries.get("loop", 0) / sum(self.queries.values())

    def __str__(self) -> str:
        return (
            f"{len(self.passed)} passed, {len(self.failed)} failed, "
            f"connections: {self.connections}, queries: {self.queries}"
        )


@dataclass(frozen=True)
class Suite:
    """SQLAlchemy's tests, and the project whose environment runs them."""

    project: Installed
    sdist: Path

    def run(self, name: str, driver: str, **constants: int) -> Report:
        """Run all tests in a new folder with a driver, some of its constants replaced."""
        folder = self.sdist.parent / name
        shutil.unpack_archive(self.sdist, folder, filter="data")
        [source] = folder.iterdir()
        shutil.copy(PLUGIN, source)
        shutil.copy(self.project.project.package / "db" / "driver.py", source)
        report = folder / "report.json"
        self.project.run(
            *OPTIONS,
            *sorted(path for pattern in TESTS for path in source.glob(pattern)),
            cwd=source,
            DRIVER=driver,
            CONSTANTS=json.dumps(constants),
            REPORT=str(report),
            # Otherwise the tests import the SQLAlchemy beside them, which is not compiled.
            PYTHONNOUSERSITE="1",
        )
        return Report(**json.loads(report.read_text(encoding="utf-8")))


@pytest.fixture
def suite(installed: Install, tmp_path: Path) -> Iterator[Suite]:
    """The suite for the SQLAlchemy of the default project, in memory if it has room."""
    project = installed(PROJECTS["sqlite"])
    with TemporaryDirectory(dir=tmpfs_variables().get("TMPDIR", tmp_path)) as folder:
        yield Suite(project, download_sdist(project, Path(folder)))


def download_sdist(project: Installed, folder: Path) -> Path:
    """Download the source distribution of the project's SQLAlchemy."""
    ask = "import sqlalchemy; print(sqlalchemy.__version__)"
    version = run(project.python, "-c", ask, cwd=folder, env=project.env).stdout.strip()
    run(
        *(sys.executable, "-m", "pip", "download", "--dest", folder, "--no-deps"),
        *("--no-binary", "sqlalchemy", f"sqlalchemy=={version}"),
        cwd=folder,
        env=project.env,
    )
    [sdist] = folder.glob("sqlalchemy-*.tar.gz")
    return sdist


def lost_tests(stock: Report, ours: Report) -> str:
    """Describe the tests that pass with stock aiosqlite alone."""
    lost = sorted({*stock.passed} - {*ours.passed})
    return "\n\n".join(f"{test}\n{ours.failed.get(test, 'skipped')}" for test in lost)


def test_sqlalchemy_passes_its_tests_with_our_cursor(suite: Suite) -> None:
    stock = suite.run("stock", "aiosqlite")
    ours = suite.run("ours", "driver")
    on_loop = suite.run("on_loop", "driver", **ALWAYS_QUICK)
    print(f"\nstock: {stock}\nours: {ours}\non the event loop: {on_loop}")

    assert {*stock.connections} == {"aiosqlite.core.Connection"}
    assert {*ours.connections} == {*on_loop.connections} == {"driver.Connection"}
    assert stock.loop_share == 0
    assert on_loop.loop_share >= MIN_LOOP_SHARE
    for report in (ours, on_loop):
        lost = lost_tests(stock, report)
        assert not lost, f"only with stock aiosqlite these pass:\n\n{lost}"
        assert len(report.passed) >= MIN_PASSED_TESTS
