"""Collect the tests of the routes only in a project that has an API."""

from pathlib import Path

from {{cookiecutter.project_slug}} import settings

package = Path(settings.__file__).parent
collect_ignore = [] if (package / "api").exists() else ["test_routes.py"]
