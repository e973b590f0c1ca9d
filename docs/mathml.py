r"""Equations as MathML, which browsers draw by themselves: no scripts, no fonts, no network.

`$...$` and `$$...$$` of the Markdown pages reach the browser through the converter of docutils. A
displayed equation that ends in `\tag{3}` is numbered (3) and has the anchor `equation-3`; GitHub
reads the same notation.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError

TAG = re.compile(r"\\tag\{(\d+a?b?)\}")


def converted(tex, as_block):
    """MathML of an equation; one that cannot be converted stops the build."""
    try:
        return tex2mathml(tex, as_block=as_block)
    except MathError as error:
        raise ExtensionError(f"equation {tex!r}: {error}") from error


def inline(translator, node):
    """Write an equation within a sentence."""
    translator.body.append(converted(node.astext(), as_block=False))
    raise nodes.SkipNode


def displayed(translator, node):
    """Write an equation on a line of its own, with its number if it has one."""
    tex = node.astext()
    number = TAG.search(tex)
    equation = converted(TAG.sub("", tex), as_block=True)
    anchor, label = (
        (f' id="equation-{number[1]}"', f"<span>({number[1]})</span>") if number else ("", "")
    )
    translator.body.append(f'<div class="equation"{anchor}>{equation}{label}</div>\n')
    raise nodes.SkipNode


def setup(app):
    """Register the renderer."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=(inline, None), block_renderers=(displayed, None)
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
