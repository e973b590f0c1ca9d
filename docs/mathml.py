r"""Equations as MathML, which browsers draw by themselves: no scripts, no fonts, no network.

`$...$` and `$$...$$` of the Markdown pages reach the browser through the converter of docutils. A
displayed equation that ends in `\tag{3}` is numbered (3) and has the anchor `equation-3`; GitHub
reads the same notation.
"""

import re
from html import unescape
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError

NAMESPACE = "http://www.w3.org/1998/Math/MathML"
ACCENTS = "ˉˆ~˙"  # of \\bar, \\hat, \\tilde, \\dot
ENTITY = re.compile(r"&(?!lt;|gt;|amp;)\w+;")  # of HTML, unknown to XML
TAG = re.compile(r"\\tag\{(\d+a?b?)\}")


def converted(tex, as_block):
    """MathML of an equation; one that cannot be converted stops the build."""
    try:
        return with_indices_beside(tex2mathml(tex, as_block=as_block))
    except MathError as error:
        raise ExtensionError(f"equation {tex!r}: {error}") from error


def with_indices_beside(mathml):
    r"""MathML in which the index of an accented letter, `{\bar p}_i`, stands beside it.

    docutils writes it below the letter, as it does under a sum.
    """
    ElementTree.register_namespace("", NAMESPACE)
    root = ElementTree.fromstring(ENTITY.sub(lambda found: unescape(found[0]), mathml))
    for element in root.iter(f"{{{NAMESPACE}}}munderover"):
        letter, index, above = element
        if (above.text or "").strip() in ACCENTS and above.text:
            accented = ElementTree.Element(f"{{{NAMESPACE}}}mover", accent="true")
            accented.extend([letter, above])
            element.tag = f"{{{NAMESPACE}}}msub"
            element[:] = [accented, index]
    return ElementTree.tostring(root, encoding="unicode")


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
