"""Alembic environment: the tables of the models, and the settings of the database."""

from {{cookiecutter.project_slug}}.db.migration.runner import (
    load_models,
)
from {{cookiecutter.project_slug}}.db.migration.safety import (
    SafeMigrationRunner,
)
from {{cookiecutter.project_slug}}.settings import Settings

target_metadata = load_models()

SafeMigrationRunner(target_metadata, Settings).run()
