"""Remove what was not chosen: one table maps answers to the paths that they need."""

import json
import shutil
from pathlib import Path
from urllib.parse import unquote

# A row names answers that need its paths, all of them together. A path of several rows stays
# if one of them applies.
WANTED_BY = {
    "database=sqlite": ("src/{{cookiecutter.project_slug}}/db/driver.py",),
    "database=postgresql": (
        "compose.yaml",
        "scripts/embedded_postgres.py",
        "src/{{cookiecutter.project_slug}}/db/migration/online.py",
    ),
    "api=true": (
        "docs/api.md",
        "src/{{cookiecutter.project_slug}}/api",
        "src/{{cookiecutter.project_slug}}/cache/routes.py",
        "src/{{cookiecutter.project_slug}}/cache/dependencies.py",
        "src/{{cookiecutter.project_slug}}/search/routes.py",
        "tests/api",
        "tests/cache/http",
        "tests/search/test_routes.py",
    ),
    "cache=true": (
        "compose.yaml",
        "docs/cache.md",
        "src/{{cookiecutter.project_slug}}/cache",
        "tests/cache",
    ),
    "search=true": (
        "docs/search.md",
        "src/{{cookiecutter.project_slug}}/search",
        "src/{{cookiecutter.project_slug}}/migrations/versions"
        "/2026_01_01_0001-c4a7d2f08e51_create_documents.py",
        "tests/search",
    ),
    "sample_models=true": (
        "src/{{cookiecutter.project_slug}}/seeds.py",
        "src/{{cookiecutter.project_slug}}/models/user.py",
        "src/{{cookiecutter.project_slug}}/models/profile.py",
        "src/{{cookiecutter.project_slug}}/models/post.py",
        "src/{{cookiecutter.project_slug}}/models/tag.py",
        "src/{{cookiecutter.project_slug}}/migrations/versions"
        "/2026_01_01_0000-6b1f0c9e2d34_create_sample_tables.py",
        "src/{{cookiecutter.project_slug}}/api/schemas.py",
        "src/{{cookiecutter.project_slug}}/api/routes/posts.py",
        "src/{{cookiecutter.project_slug}}/api/routes/tags.py",
        "src/{{cookiecutter.project_slug}}/api/routes/users.py",
        "tests/api/test_posts.py",
        "tests/api/test_tags.py",
        "tests/api/test_users.py",
        "tests/cache/http/test_routes.py",
        "tests/models/test_samples.py",
    ),
    "search=false sample_models=false": (
        "src/{{cookiecutter.project_slug}}/migrations/versions/.gitkeep",
    ),
}


def unwanted(answers: dict[str, object]) -> list[str]:
    """List the paths of the table that no answers need."""
    given = {
        f"{question}={str(answer).lower() if isinstance(answer, bool) else answer}"
        for question, answer in answers.items()
    }
    kept = {
        path
        for row, paths in WANTED_BY.items()
        if given.issuperset(row.split())
        for path in paths
    }
    return [path for paths in WANTED_BY.values() for path in paths if path not in kept]


def remove(path: Path, root: Path) -> None:
    """Remove a file or folder, if it exists, and the folders that this empties."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.exists() or path.is_symlink():
        path.unlink()
    else:
        return
    for folder in path.parents:
        if folder == root or any(folder.iterdir()):
            return
        folder.rmdir()


def main() -> None:
    """Remove what was not chosen from the project in the current folder."""
    # Percent-encoded JSON is plain ASCII without quotes: no answer can end the literal.
    answers = json.loads(unquote("{{ cookiecutter | jsonify | urlencode }}"))
    root = Path.cwd()
    for path in unwanted(answers):
        remove(root / path, root)


if __name__ == "__main__":
    main()
