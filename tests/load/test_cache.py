"""Request one value of the cache from many tasks in several processes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import redis_server
from support.installing import Install

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX paths")

PROCESSES = 4
SCRIPT = Path(__file__).parent / "cache" / "stampede.py"


def test_one_of_many_tasks_in_several_processes_loads(
    installed: Install, redis_variables: dict[str, str], tmp_path: Path
) -> None:
    project = installed({"database": "sqlite", "cache": True, "sample_models": True})
    loads = tmp_path / "loads.txt"
    with redis_server.run(redis_variables, tmp_path) as url:
        command: list[str | Path] = [
            project.python,
            SCRIPT,
            str(time.time() + 5),
            loads,
        ]
        processes = [
            subprocess.Popen(
                command,
                cwd=tmp_path,
                env=project.env | {"REDIS_URL": url},
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(PROCESSES)
        ]
        outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert outputs == ["50 value\n"] * PROCESSES
    assert loads.read_text() == "load\n"
