"""Checksums of the revisions, so that an edit of an applied one is noticed.

Databases that have applied a revision would never see the edit. The file also makes
git report a conflict when two branches both add a revision.
"""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
FILE = FOLDER / "checksums.txt"


def recorded() -> dict[str, str]:
    """Return the checksums in the file, by the name of the revision's file."""
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
    """Write the file.

    Args:
        edits: Whether to accept changes to revisions that are in it; else only new
            ones are added.
    """
    before, now = recorded(), computed()
    # In the order in which they were recorded, so the last one is the newest.
    checksums = {**before, **now} if edits else {**before, **now, **before}
    kept = now if edits else checksums
    lines = (f"{checksums[name]}  {name}\n" for name in checksums if name in kept)
    FILE.write_text("".join(lines), encoding="utf-8", newline="\n")


def main(arguments: Sequence[str]) -> None:
    """Add new revisions, as Alembic does after each; with "accept", take edits, too.

    Args:
        arguments: "accept", or the file that Alembic has just written.
    """
    record(edits="accept" in arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
