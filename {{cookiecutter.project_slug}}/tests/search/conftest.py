"""What the tests of the search share."""

from pathlib import Path

from {{cookiecutter.project_slug}} import parts

package = Path(parts.__file__).parent
# The search adds to the API, where there is one.
collect_ignore = [] if (package / "api").exists() else ["test_routes.py"]
