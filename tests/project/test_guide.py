"""Follow the rendered guide to migrations from top to bottom, as a reader would."""

import sys

import pytest

from support.combinations import ENDS, TRANSLATED_ENDS, Answers
from support.documents import blocks
from support.git import commit
from support.installing import Install
from support.terminal import follow

GUIDE = "docs/migrations.md"
GUIDED = ENDS | TRANSLATED_ENDS


@pytest.mark.skipif(sys.platform == "win32", reason="types into bash")
@pytest.mark.parametrize("answers", GUIDED.values(), ids=GUIDED)
def test_the_guide_to_migrations_tells_the_truth(
    install: Install, answers: Answers
) -> None:
    installed = install(answers)
    commit(installed.project.path, installed.env)
    follow(blocks(installed.project.read(GUIDE), GUIDE), installed)
    # The project accepts the migrations and the code that its reader ends up with.
    installed.run("pytest", "-q", "-p", "no:cacheprovider", "tests/test_migrations.py")
    installed.run("black", "--check", "--diff", "--quiet", ".")
    installed.run("ruff", "check", "--no-cache", ".")
