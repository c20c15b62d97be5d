"""Command line of the application: `python -m {{cookiecutter.project_slug}}`."""

from .cli import main

if __name__ == "__main__":
    main()
