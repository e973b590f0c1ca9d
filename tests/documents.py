"""Text and code of the repository's documents."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def read(name):
    """Text of a file, its path relative to the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name):
    """The Python code blocks of a Markdown file."""
    return blocks_in(read(name))


def blocks_in(text):
    """The Python code blocks in Markdown."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run(name, code, names):
    """Execute a code block of a file; `names` are those it finds and leaves."""
    exec(compile(code, name, "exec"), names)


def run_page(name):
    """Execute the code blocks of a Markdown file one after the other; the names they leave."""
    names = {}
    for code in blocks(name):
        run(name, code, names)
    return names
