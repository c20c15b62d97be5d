"""Compare Alembic's commands in a rendered project with Alembic's own `async` template.

    python benchmarks/migrations.py sqlite|postgresql [revisions] [rounds]

Both have the same revisions, one table each, and the same models; they alternate in one run. The
output is rows of a table: the median of the ratios of neighbouring rounds, with the lowest and
the highest. Below 1 means that ours is faster. DATABASE_URL names the server.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parents[1]

REVISION = '''"""revision {number}"""

import sqlalchemy as sa
from alembic import op

revision = "{number:04}"
down_revision = {before}


def upgrade() -> None:
    op.create_table("t{number}", sa.Column("id", sa.Integer(), primary_key=True))


def downgrade() -> None:
    op.drop_table("t{number}")
'''
TABLES = """
for number in range(1, {count} + 1):
    Table(f"t{{number}}", {metadata}, Column("id", Integer(), primary_key=True))
"""


def write_revisions(folder: Path, count: int) -> None:
    """Write a chain of revisions."""
    for number in range(1, count + 1):
        before = repr(f"{number - 1:04}") if number > 1 else None
        source = REVISION.format(number=number, before=before)
        (folder / f"{number:04}_t{number}.py").write_text(source)


def make_ours(folder: Path, database: str, count: int) -> Path:
    """Render a project without sample models, and add the revisions."""
    answers = {"database": database, "sample_models": False, "project_slug": "ours"}
    path = Path(
        cookiecutter(
            str(TEMPLATE), no_input=True, extra_context=answers, output_dir=str(folder)
        )
    )
    write_revisions(path / "src/ours/migrations/versions", count)
    (path / "src/ours/models/tables.py").write_text(
        '"""Tables."""\n\nfrom sqlalchemy import Column, Integer, Table\n\nfrom ..db import Base\n'
        + TABLES.format(count=count, metadata="Base.metadata")
    )
    return path


def make_stock(folder: Path, url: str, count: int) -> Path:
    """Run `alembic init --template async`, and add the same revisions and models."""
    path = folder / "stock"
    path.mkdir()
    alembic(path, "init", "--template", "async", "migrations")
    ini = path / "alembic.ini"
    ini.write_text(
        re.sub(
            "sqlalchemy.url = .*",
            lambda _: f"sqlalchemy.url = {url}",
            ini.read_text(),
        )
    )
    env = path / "migrations" / "env.py"
    tables = "from sqlalchemy import Column, Integer, MetaData, Table\n\nmetadata = MetaData()\n"
    source = env.read_text().replace(
        "target_metadata = None", "target_metadata = metadata"
    )
    marker = "config = context.config"
    made = tables + TABLES.format(count=count, metadata="metadata") + "\n" + marker
    env.write_text(source.replace(marker, made, 1))
    write_revisions(path / "migrations" / "versions", count)
    return path


def alembic(path: Path, *arguments: str, **variables: str) -> float:
    """Run a command, and measure seconds."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=path,
        env=os.environ
        | {"PYTHONPATH": str(path / "src"), "DATABASE_BACKUP": "false"}
        | variables,
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - started


def compare(database: str, server: str, count: int, rounds: int) -> None:
    """Print a row for each command: the ratios of our time to stock's."""
    ratios: dict[str, list[tuple[float, float]]] = {}
    made = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            names = [f"bench_{os.getpid()}_{number}_{who}" for who in ("ours", "stock")]
            if database == "sqlite":
                urls = [f"sqlite:///{folder}/{name}.db" for name in names]
            else:
                for name in names:
                    psql(server, f"CREATE DATABASE {name}")
                made += names
                urls = [f"{server}/{name}" for name in names]
            driver = {"sqlite": "aiosqlite", "postgresql": "asyncpg"}[database]
            ours = make_ours(folder, database, count)
            stock = make_stock(folder, urls[1].replace(":", f"+{driver}:", 1), count)
            for command in (["upgrade", "head"], ["current"], ["check"]):
                took: dict[Path, float] = {}
                # Alternate the order; a checkpoint keeps earlier writes out of the measurement.
                for path in (ours, stock) if number % 2 else (stock, ours):
                    if database == "postgresql":
                        psql(server, "CHECKPOINT")
                    took[path] = alembic(path, *command, DATABASE_URL=urls[0])
                ratios.setdefault(" ".join(command), []).append(
                    (took[ours], took[stock])
                )
    for name in made:
        psql(server, f"DROP DATABASE {name}")
    aims = {"upgrade head": 0.5 if database == "sqlite" else 1.1}
    for name, pairs in ratios.items():
        each = [mine / theirs for mine, theirs in pairs]
        middle, aim = statistics.median(each), aims.get(name, 1.2)
        print(
            f"| alembic {name}, {count} revisions | Alembic's own async template |"
            f" {middle:.2f} | {min(each):.2f}-{max(each):.2f} | {aim:.2f} |"
            f" {'yes' if middle <= aim else '**no**'} |"
        )


def psql(server: str, statement: str) -> None:
    """Run a statement on the server, with the driver."""
    import asyncio

    import asyncpg

    async def execute() -> None:
        connection = await asyncpg.connect(f"{server}/postgres")
        await connection.execute(statement)
        await connection.close()

    asyncio.run(execute())


def main() -> None:
    """Read the command line and compare."""
    database = sys.argv[1]
    count, rounds = (int(word) for word in (*sys.argv[2:], "1000", "5")[:2])
    server = os.environ.get(
        "DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres"
    )
    compare(database, server.rpartition("/")[0], count, rounds)


if __name__ == "__main__":
    main()
