"""The gallery: a page for each program in recipes/, with what it asks, what it prints, its picture
and its code.

Most recipes take minutes with the predictions they need, so the site shows the output and the
picture that docs/output/ and docs/ keep; recipes with the option --docs write tables into a page
instead, most of them into docs/evidence.md.
"""

import ast
import re
from html import escape

FIRST = "quickstart"
FULL_WIDTH = "---\nhtml_theme.sidebar_secondary.remove: true\n---\n"  # for programs and output
PARTS = {
    "recipes": "Programs to run, read and change. Each opens with its question, and has its output and its picture.",
    "studies": "What stands behind the figures of [the evidence](../evidence.md); each takes from minutes to hours.",
    "internals": "Modules that the programs share: data, peers, imputations, scores and tables.",
}


def write(docs):
    """Write recipes/index.md and recipes/NAME.md below `docs`.

    Parameters
    ----------
    docs : Path
    """
    pages = docs / "recipes"
    pages.mkdir(exist_ok=True)
    recipes = [Recipe(docs, path) for path in sorted((docs.parent / "recipes").glob("*.py"))]
    recipes.sort(key=lambda recipe: (recipe.name != FIRST, not recipe.picture.exists()))
    for recipe in recipes:
        (pages / f"{recipe.name}.md").write_text(recipe.page(), encoding="utf-8")
    (pages / "index.md").write_text(gallery(recipes), encoding="utf-8")


class Recipe:
    """One program, and what the documentation keeps of it.

    Parameters
    ----------
    docs, path : Path
    """

    def __init__(self, docs, path):
        self.name, self.code = path.stem, path.read_text(encoding="utf-8")
        first, _, rest = ast.get_docstring(ast.parse(self.code)).partition("\n\n")
        question, mark, answer = " ".join(first.split()).partition("?")
        self.title, self.text = question + mark, f"{answer.strip()}\n\n{rest}".strip()
        self.picture = docs / f"{self.name}.png"
        kept = docs / "output" / f"{self.name}.txt"
        self.output = kept.read_text(encoding="utf-8").strip("\n") if kept.exists() else ""

    @property
    def part(self):
        """The part of the gallery that it belongs to."""
        if "?" not in self.title:
            return "internals"
        return "studies" if 'add_argument("--docs"' in self.code else "recipes"

    def page(self):
        """Markdown of its page."""
        parts = [f"{FULL_WIDTH}\n# {self.title}"]
        if self.picture.exists():
            parts.append(f"![Picture that {self.name}.py draws](../{self.picture.name})")
        parts.append(self.text)
        if "__main__" in self.code:
            parts.append(f"```bash\npython recipes/{self.name}.py --help\n```")
        if self.output:
            parts.append(f"## What it prints\n\n```text\n{self.output}\n```")
        elif self.part == "studies":
            page = re.search(r'DOCS / "(\w+\.md)"', self.code)
            target = page[1] if page else "evidence.md"
            parts.append(f"## What it prints\n\nTables of [{target}](../{target}).")
        parts.append(
            f"## recipes/{self.name}.py\n\n"
            f"```{{literalinclude}} ../../recipes/{self.name}.py\n:language: python\n```"
        )
        return "\n\n".join(parts) + "\n"

    def card(self):
        """Its card, with its picture or the beginning of its output."""
        lines = [f":::{{grid-item-card}} {self.title}", f":link: {self.name}", ":link-type: doc"]
        if self.picture.exists():
            lines.append(f":img-top: ../{self.picture.name}")
        elif self.output:
            start = "\n".join(self.output.split("\n")[:14])
            lines += ["", f"```{{raw}} html\n<pre>{escape(start)}</pre>\n```"]
        return "\n".join([*lines, "", f"`{self.name}.py`", ":::"])


def gallery(recipes):
    """Markdown of the page of all recipes.

    Parameters
    ----------
    recipes : list of Recipe
    """
    sections = [f"{FULL_WIDTH}\n# Recipes", PARTS["recipes"]]
    for part, text in PARTS.items():
        found = [recipe for recipe in recipes if recipe.part == part]
        if part == "recipes":
            cards = "\n\n".join(recipe.card() for recipe in found)
            sections.append(f"::::{{grid}} 1 2 2 3\n:gutter: 3\n\n{cards}\n\n::::")
        else:
            rows = "\n".join(
                f"- [{recipe.title}]({recipe.name}.md) `{recipe.name}.py`" for recipe in found
            )
            sections.append(f"## {part.capitalize()}\n\n{text}\n\n{rows}")
    names = "\n".join(recipe.name for recipe in recipes)
    return "\n\n".join([*sections, f"```{{toctree}}\n:hidden:\n\n{names}\n```"]) + "\n"
