"""Alembic environment: the tables of the models, and the settings of the database."""

from {{cookiecutter.project_slug}}.db import Base
from {{cookiecutter.project_slug}}.db.base import import_submodules
from {{cookiecutter.project_slug}}.db.migration.safety import (
    SafeMigrationRunner,
)
from {{cookiecutter.project_slug}}.settings import Settings

import_submodules("{{cookiecutter.project_slug}}", "models")
target_metadata = Base.metadata

SafeMigrationRunner(target_metadata, Settings).run()
