"""Alembic's commands without an `alembic.ini`, as in an installed wheel or an image."""

from collections.abc import Sequence

from alembic.config import CommandLine

from .runner import make_config


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command, such as `upgrade head`.

    Args:
        arguments: The command line; that of the process if not given.
    """
    line = CommandLine(prog=f"python -m {__package__}")
    options = line.parser.parse_args(arguments)
    if not hasattr(options, "cmd"):
        line.parser.error("name a command, such as: upgrade head")
    line.run_cmd(make_config(options), options)


if __name__ == "__main__":
    main()
