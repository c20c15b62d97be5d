"""Remembers what each revision said, so that a later edit is noticed.

Databases that have run a revision would never see the edit. The file also makes two
branches that both add a revision conflict in git, where people see it.
"""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
FILE = FOLDER / "checksums.txt"


def recorded() -> dict[str, str]:
    """Return the checksums of the file, by the name of the revision's file."""
    if not FILE.exists():
        return {}
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return {name: checksum for checksum, name in map(str.split, lines)}


def computed() -> dict[str, str]:
    """Return the checksums of the revisions as they are now, in their order."""
    return {
        # Git may have changed the line ends.
        path.name: hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
        for path in sorted(FOLDER.glob("versions/*.py"))
    }


def differences() -> list[str]:
    """Return the names of the revisions that were edited, added or removed."""
    before, now = recorded(), computed()
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def record(*, edits: bool) -> None:
    """Write the file anew.

    Args:
        edits: Whether to accept changes to revisions that are in it; else only new
            ones are added.
    """
    before, now = recorded(), computed()
    # In the order in which they were recorded, so that the last one is the newest.
    checksums = {**before, **now} if edits else {**before, **now, **before}
    kept = now if edits else checksums
    lines = (f"{checksums[name]}  {name}\n" for name in checksums if name in kept)
    FILE.write_text("".join(lines), encoding="utf-8", newline="\n")


def main(arguments: Sequence[str]) -> None:
    """Accept edits if told so; else add new revisions, as Alembic does after each.

    Args:
        arguments: "accept", or the file that Alembic has just written.
    """
    record(edits="accept" in arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
