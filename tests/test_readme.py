"""Does what the READMEs say, and looks for all that the documents of both houses point to."""

import re
import shutil
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import pytest
import test_guide
from baking import COOKIECUTTER, TEMPLATE, Bake, BakedProject, questions, run
from baking import environment as environment_of
from combinations import ENDS, PROJECTS, Answers
from installing import Install, Installed
from test_guide import BLOCK, Block, Reader, blocks, each_guided, each_written

needs_bash = pytest.mark.skipif(sys.platform == "win32", reason="types into bash")
needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")

README = (TEMPLATE / "README.md").read_text(encoding="utf-8")
DECISIONS = sorted((TEMPLATE / "docs" / "decisions").glob("*.md"))
DOCUMENTS = sorted(
    [*TEMPLATE.glob("*.md"), *TEMPLATE.glob("docs/*.md"), *DECISIONS],
)
RECORDED: Answers = {"project_name": "Book Club", "database": "postgresql"}

HEADINGS = ["Context", "Decision", "Why", "What it costs", "When to look again"]

# What needs Docker, or a download of the template.
ELSEWHERE = ("docker ", "uvx ")

FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\]\((?!https?://)(?P<path>[^)#]*)(?:#(?P<heading>[^)]*))?\)")
PATH = re.compile(
    r"[\w.*{}<>-]+(/[\w.*{}<>-]+)*(/|\.(ini|json|mako|md|py|toml|txt|ya?ml))"
)
# What tools leave in this folder.
MADE_HERE = (".git", ".venv", ".cache", "build", "__pycache__", "*_cache")
MADE_LATER = {".cruft.json", "alembic/", "build/", "migrations/", "versions/"}


def name_of(path: Path) -> str:
    """Name a document in the output of the tests."""
    return path.relative_to(TEMPLATE).as_posix()


each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)


def consoles(text: str) -> list[Block]:
    """Read the blocks that are typed into a shell."""
    return [
        Block(0, match["above"], match["language"], match["text"])
        for match in BLOCK.finditer(text)
        if match["language"] == "console"
    ]


def commands(text: str) -> list[str]:
    """List what is typed into a shell, without comments."""
    return [
        re.sub(r" +#.*", "", command)
        for block in consoles(text)
        for command, _ in block.commands()
    ]


def do(read: Iterable[Block], installed: Installed, real: dict[str, str]) -> Reader:
    """Do what blocks say, with the real thing in place of what they must call otherwise."""
    # `make` has nothing to install, since uv has installed the same.
    (installed.project.path / ".venv" / "installed").touch()
    with ExitStack() as terminals:
        reader = Reader(installed, terminals)
        reader.known.real |= real
        for block in read:
            reader.follow(block)
    return reader


def commit(folder: Path, env: dict[str, str]) -> None:
    """Commit all that a folder holds, and make it a repository if it is none."""
    if not (folder / ".git").exists():
        run("git", "init", "--quiet", cwd=folder, env=env)
    run("git", "add", "--all", cwd=folder, env=env)
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    run("git", *who, "commit", "--quiet", "-m", "change", cwd=folder, env=env)


@pytest.fixture
def readme_as_guide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare every line, of which the guide leaves some out."""
    monkeypatch.setattr(test_guide, "LEFT_OUT", re.compile("(?!)"))
    monkeypatch.setattr(test_guide, "GUIDE", "README.md")


# The README of the project, and the examples that go on from it


@pytest.mark.slow
@pytest.mark.usefixtures("readme_as_guide")
@needs_bash
@each_guided
def test_what_the_readme_and_the_examples_of_the_project_say_is_what_happens(
    tmp_path: Path, baked: Bake, install: Install, answers: Answers
) -> None:
    project = install(answers)
    origin = tmp_path / "origin"
    shutil.copytree(baked(**answers).path, origin)
    commit(origin, project.env)
    clone = tmp_path / "clone"
    real = {
        "git clone <address> async_app": f"git clone --quiet {origin} {clone}",
        "cd async_app": f"cd {project.project.path}",
    }
    read = [
        block
        for block in blocks(project.project.read("README.md"))
        if not block.text.startswith(tuple(f"$ {each}" for each in ELSEWHERE))
    ]
    assert len(read) == 4
    examples = blocks(project.project.read("docs/models.md"))
    assert len(examples) > 10
    do([*read, *examples], project, real)
    shutil.rmtree(clone / ".git")
    assert BakedProject(clone, answers).contents() == baked(**answers).contents()
    run("make", "check", cwd=project.project.path, env=project.env)


@each_written
def test_the_readme_of_the_project_is_short(baked: Bake, answers: Answers) -> None:
    assert baked(**answers).read("README.md").count("\n") < 170


@each_written
def test_the_readme_of_the_project_says_where_everything_is(
    baked: Bake, answers: Answers
) -> None:
    project = baked(**answers)
    table = re.findall(r"^\| (`.*`) \| ", project.read("README.md"), re.MULTILINE)
    named = [path for row in table for path in CODE.findall(row)]
    assert [path for path in named if not (project.path / path).exists()] == []
    folders = ("src/", "tests/", "docs/", "scripts/")
    assert [
        file
        for file in project.files()
        if file.startswith(folders)
        and not file.startswith(tuple(named))
        and not file.endswith("/async_app/__init__.py")
    ] == []


@each_written
def test_the_documents_of_the_project_point_to_what_is_there(
    baked: Bake, answers: Answers
) -> None:
    project = baked(**answers)
    targets = targets_of(project.read("Makefile"))
    for name in project.files("*.md"):
        assert broken_links(project.path / name) == []
        assert unknown_targets(project.read(name), targets) == []
        compile_python(project.path / name)


# The README of the template


def test_the_readme_begins_with_the_two_commands_of_a_fresh_machine() -> None:
    assert commands(README)[:2] == ["make demo", "make test"]
    assert "`make demo database=postgresql`" in README


@pytest.mark.slow
@pytest.mark.usefixtures("readme_as_guide")
@needs_bash
def test_what_the_readme_has_recorded_is_what_happens(
    tmp_path: Path, baked: Bake, install: Install
) -> None:
    project = install(RECORDED)
    cookiecutter = " ".join(COOKIECUTTER)
    real = {
        "uvx cookiecutter gh:org/repo": f"{cookiecutter} '{TEMPLATE}' -o '{tmp_path}'",
        "cd book_club": f"cd '{project.project.path}'",
    }
    (recording,) = [each for each in consoles(README) if "$ cd book_club" in each.text]
    do([recording], project, real)
    rendered = BakedProject(tmp_path / "book_club", RECORDED)
    assert rendered.contents() == baked(**RECORDED).contents()


def test_the_tree_in_the_readme_is_the_one_that_is_rendered(baked: Bake) -> None:
    (tree,) = re.findall(r"^```text\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    root, *lines = tree.splitlines()
    assert root == "async_app/"
    files, folders = [], [""]
    for line in lines:
        match = re.match(r"((?:│   |    )*)[├└]── (\S+)", line)
        assert match, line
        above = folders[: len(match[1]) // 4 + 1]
        if match[2].endswith("/"):
            folders = [*above, above[-1] + match[2]]
        else:
            files.append(above[-1] + match[2])
    assert files == sorted(files, key=lambda file: file.split("/"))
    assert sorted(files) == baked().files()


def test_the_diagram_in_the_readme_is_the_one_that_is_rendered(baked: Bake) -> None:
    texts = (README, baked().read("docs/schema.md"))
    shown, drawn = (re.findall(r"(?ms)^```mermaid$.*?^```$", text) for text in texts)
    assert len(drawn) == 1
    assert shown == drawn


def test_the_readme_says_what_postgresql_adds(baked: Bake) -> None:
    added = set(baked(database="postgresql").files()) - set(baked().files())
    (sentence,) = re.findall(r"With PostgreSQL there (?:is|are) also (.*?)\. ", README)
    assert set(CODE.findall(sentence)) == added


@pytest.mark.parametrize(("question", "default"), questions().items(), ids=questions())
def test_the_readme_says_the_default(question: str, default: object) -> None:
    if isinstance(default, list):
        default = default[0]
    if isinstance(default, bool):
        default = str(default).lower()
    in_words = {
        "project_slug": "from the name: `async_app`",
        "description": "a neutral sentence",
    }
    assert f"| `{question}` | {in_words.get(question, f'`{default}`')} | " in README


@needs_git
@pytest.mark.skipif(sys.platform == "win32", reason="cruft does not support Windows")
@pytest.mark.parametrize("begin", ["create", "link"])
def test_a_project_takes_what_is_new_in_the_template(
    tmp_path: Path, baked: Bake, begin: str
) -> None:
    answers = PROJECTS["postgresql"]
    # One README says how to begin with cruft, the other how to go on with it.
    text, address = {
        "create": (README, "https://github.com/org/repo"),
        "link": (baked(**answers).read("README.md"), "<template>"),
    }[begin]
    env = environment_of(tmp_path / "home")
    template, project = tmp_path / "template", tmp_path / "async_app"
    shutil.copytree(TEMPLATE, template, ignore=shutil.ignore_patterns(*MADE_HERE))
    commit(template, env)

    def cruft(*arguments: str, cwd: Path, stdin: str = "") -> str:
        command = " ".join(["uvx cruft", *arguments])
        assert command.replace(str(template), address) in commands(text)
        cruft = (sys.executable, "-m", "cruft")
        return run(*cruft, *arguments, cwd=cwd, env=env, stdin=stdin).stdout

    typed_answers = "\n".join(
        "2" if question == "database" else "" for question in questions()
    )
    if begin == "create":
        cruft("create", str(template), cwd=tmp_path, stdin=typed_answers + "\n")
    else:
        shutil.copytree(baked(**answers).path, project)
        commit(project, env)
        cruft("link", str(template), cwd=project, stdin=typed_answers + "\n\n")
    assert BakedProject(project, answers).read("compose.yaml")
    for path in ("README.md", "Dockerfile"):
        change(project / path, "mine")
    commit(project, env)

    change(template / "templates" / "postgresql" / "dialect.py", "# new")
    change(template / "{{cookiecutter.project_slug}}" / "Dockerfile", "new")
    commit(template, env)
    cruft("update", "--skip-apply-ask", cwd=project)
    updated = BakedProject(project, answers)
    assert updated.read("src/async_app/dialect.py").endswith("\n# new\n")
    assert updated.read("README.md").endswith("\nmine\n")
    changed = run("git", "diff", "HEAD", "--name-only", cwd=project, env=env).stdout
    assert "src/async_app/dialect.py" in changed.split()
    # Git needs to have seen the old file for the marks of a conflict.
    marked = "\n<<<<<<< ours\nmine\n=======\nnew\n>>>>>>> theirs\n"
    assert updated.read("Dockerfile").endswith(marked) or (
        updated.read("Dockerfile").endswith("\nmine\n")
        and "\n+new\n" in updated.read("Dockerfile.rej")
    )


def change(path: Path, line: str) -> None:
    """Put another last line into a file."""
    *lines, _ = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, line]) + "\n", encoding="utf-8")


# All documents of the template


@each_document
def test_a_document_points_to_what_is_there(baked: Bake, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert broken_links(path) == []
    compile_python(path)
    makefiles = [TEMPLATE / "Makefile"]
    makefiles += [baked(**each).path / "Makefile" for each in ENDS.values()]
    targets = {
        target
        for makefile in makefiles
        for target in targets_of(makefile.read_text(encoding="utf-8"))
    }
    assert unknown_targets(text, targets) == []


@each_document
def test_a_document_names_files_that_are_there(baked: Bake, path: Path) -> None:
    projects = [baked(**each).path for each in ENDS.values()]
    named = CODE.findall(FENCED.sub("", path.read_text(encoding="utf-8")))
    assert [
        name
        for name in named
        if PATH.fullmatch(name)
        and name not in MADE_LATER
        and not any(TEMPLATE.glob(name))
        and not any(
            any(project.rglob(name.replace("<slug>", "async_app")))
            for project in projects
        )
    ] == []


@each_document
def test_a_document_is_tidy(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n") and not text.endswith("\n\n")
    assert not re.search(r"[ \t]+$", text, re.MULTILINE)
    prose = [line for line in FENCED.sub("", text).splitlines() if line[:1] != "|"]
    assert [line for line in prose if len(line) > 100 and "](" not in line] == []


@pytest.mark.parametrize("house", ["The template", "The project"])
def test_the_map_names_files_of_the_right_house(baked: Bake, house: str) -> None:
    text = (TEMPLATE / "docs" / "map.md").read_text(encoding="utf-8")
    section = text.partition(f"## {house}\n")[2].partition("\n## ")[0]
    named = re.findall(r"^\| [^|]+ \| (`.*) \|$", section, re.MULTILINE)
    assert named
    roots = [TEMPLATE]
    if house == "The project":
        roots = [baked(**each).path for each in ENDS.values()]
    assert [
        path
        for row in named
        for path in CODE.findall(row)
        if path != "make tree" and not any(any(root.glob(path)) for root in roots)
    ] == []


@pytest.mark.parametrize("path", DECISIONS, ids=name_of)
def test_a_decision_has_five_headings_on_one_page(path: Path) -> None:
    title, *lines = path.read_text(encoding="utf-8").splitlines()
    assert [line[3:] for line in lines if line.startswith("#")] == HEADINGS
    assert len(lines) < 44
    number = DECISIONS.index(path) + 1
    assert path.name.startswith(f"{number:04}-")
    assert title.startswith(f"# {number}. ")
    text = (TEMPLATE / "docs" / "map.md").read_text(encoding="utf-8")
    link = f"]({path.relative_to(TEMPLATE / 'docs').as_posix()})"
    assert f"\n{number}. [{title.partition('. ')[2]}{link}\n" in text


def broken_links(path: Path) -> list[str]:
    """List the links of a document that lead nowhere."""
    text = CODE.sub("", FENCED.sub("", path.read_text(encoding="utf-8")))
    return [
        link[0]
        for link in LINK.finditer(text)
        if not (path.parent / link["path"]).exists()
        or (
            link["heading"]
            and link["heading"] not in headings_of(path.parent / link["path"], path)
        )
    ]


def headings_of(target: Path, path: Path) -> list[str]:
    """List the headings of a document, as links name them."""
    text = (path if target.is_dir() else target).read_text(encoding="utf-8")
    found = re.findall(r"^#+ (.*)", FENCED.sub("", text), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in found]


def targets_of(makefile: str) -> list[str]:
    """List what can be made."""
    (phony,) = re.findall(r"^\.PHONY: (.*)", makefile, re.MULTILINE)
    return str(phony).split()


def unknown_targets(text: str, targets: Iterable[str]) -> list[str]:
    """List the commands of a document that make what cannot be made."""
    said = [*commands(text), *CODE.findall(FENCED.sub("", text))]
    made = [re.findall(r"^make ([a-z-]+)(?![a-z-]*=)", each) for each in said]
    return [target for found in made for target in found if target not in targets]


def compile_python(path: Path) -> None:
    """Compile what a document shows of Python."""
    text = path.read_text(encoding="utf-8")
    for code in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        compile(code, str(path), "exec")
