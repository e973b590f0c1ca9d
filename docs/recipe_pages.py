"""A page for each recipe: what it asks, what it prints, its picture, its code.

The recipes are programs with options, some of which take an hour with the predictions they need. So
the site runs one that takes a minute, and shows of the others the output and picture that
docs/output/ and docs/ keep; recipes with the option --docs write tables into docs/evidence.md
instead.
"""

import ast
import subprocess
import sys
from pathlib import Path

# Listed last.
HELPERS = {
    "comparison.py",
    "goals.py",
    "imputation.py",
    "peers.py",
    "real_sets.py",
    "scenarios.py",
    "scoring.py",
}


def write(docs, run):
    """Write recipes/index.md and recipes/NAME.md below `docs`; `run` is the recipe to execute.

    Parameters
    ----------
    docs : Path
    run : str
        File name of a recipe with the option --picture.
    """
    pages = docs / "recipes"
    pages.mkdir(exist_ok=True)
    sources = sorted(
        (docs.parent / "recipes").glob("*.py"), key=lambda path: (path.name in HELPERS, path.name)
    )
    for source in sources:
        output, picture = docs / "output" / f"{source.stem}.txt", docs / f"{source.stem}.png"
        if source.name == run:
            output, picture = execute(source, pages)
        (pages / f"{source.stem}.md").write_text(page(source, output, picture), encoding="utf-8")
    names = "\n".join(source.stem for source in sources)
    rows = "\n".join(f"| [{s.name}]({s.stem}.md) | {question(s)} |" for s in sources)
    text = f"# Recipes\n\n| program | question |\n|---|---|\n{rows}\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"
    (pages / "index.md").write_text(text, encoding="utf-8")


def execute(source, pages):
    """Run a recipe; the files with its output and its picture."""
    output, picture = pages / f"{source.stem}.txt", pages / f"{source.stem}.png"
    done = subprocess.run(
        [sys.executable, source, "--picture", picture],
        cwd=source.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{source.name} failed:\n{done.stderr}")
    lines = [line for line in done.stdout.splitlines() if not line.startswith("picture:")]
    output.write_text("\n".join(lines), encoding="utf-8")
    return output, picture


def page(source, output, picture):
    """Markdown of one recipe."""
    code = source.read_text(encoding="utf-8")
    title, _, rest = ast.get_docstring(ast.parse(code)).partition("\n\n")
    parts = [f"# {source.name}", f"**{' '.join(title.split())}**", rest]
    if "__main__" in code:
        parts.append(f"    python recipes/{source.name} --help")
    if output.exists():
        text = output.read_text(encoding="utf-8").strip("\n")
        parts += ["## What it prints", f"```text\n{text}\n```"]
    elif 'add_argument("--docs"' in code:
        parts += ["## What it prints", "Tables of [the evidence](../evidence.md)."]
    if picture.exists():
        place = picture.name if picture.parent.name == "recipes" else f"../{picture.name}"
        parts.append(f"![Picture that {source.name} draws]({place})")
    parts += [
        "## The program",
        f"```{{literalinclude}} ../../recipes/{source.name}\n:language: python\n```",
    ]
    return "\n\n".join(parts) + "\n"


def question(source):
    """First paragraph of the docstring on one line."""
    return " ".join(
        ast.get_docstring(ast.parse(Path(source).read_text(encoding="utf-8")))
        .partition("\n\n")[0]
        .split()
    )
