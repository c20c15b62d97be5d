"""Alembic runs this file for each command; the work is done in `runner.py`."""

from alembic import context

from {{cookiecutter.project_slug}}.migrations import runner

runner.configure_logging(context.config)
if context.is_offline_mode():
    runner.write_sql()
else:
    runner.run()
