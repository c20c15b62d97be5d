"""Alembic runs this file for each command; the work is done in `runner.py`."""

import gc

from alembic import context

threshold = gc.get_threshold()
# Or Python would look through all imports and revisions for garbage, again and again.
gc.set_threshold(100_000)
try:
    from {{cookiecutter.project_slug}}.migrations import runner

    runner.configure_logging(context.config)
    if context.is_offline_mode():
        runner.write_sql()
    else:
        runner.run()
finally:
    gc.set_threshold(*threshold)
