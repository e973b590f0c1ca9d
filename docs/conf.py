"""Sphinx configuration of the documentation: `make docs`."""

import re
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import recipe_pages  # noqa: E402

import cfens_stack  # noqa: E402

project = "cfens_stack"
author = "The cfens_stack developers"
version = release = cfens_stack.__version__
copyright = f"2026, {author}"
extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "mathml",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
suppress_warnings = [
    "toc.not_included"
]  # a page that nobody has put in the index yet does not stop the build
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
autosummary_generate = False
autodoc_typehints = "none"
smartquotes = False  # would turn the two hyphens of options into a dash
autodoc_mock_imports = ["autogluon"]  # the base class of a plug-in

copybutton_selector = "div:not(.highlight-text) > div.highlight > pre"  # code, not its output


def repository():
    """The link to the repository that pyproject.toml names, for the bar at the top; none if it
    names none.
    """
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    url = project.get("urls", {}).get("Repository")
    return [{"name": "Repository", "url": url, "icon": "fa-solid fa-code-branch"}] if url else []


html_theme = "pydata_sphinx_theme"
html_title = "cfens_stack"
html_logo = html_favicon = "_static/logo.svg"
html_theme_options = {
    "logo": {"text": project, "alt_text": "cfens_stack, start page"},
    "show_prev_next": False,
    "navbar_start": ["navbar-logo", "version"],
    "navbar_center": [],
    "navbar_end": ["theme-switcher", "navbar-icon-links"],
    "icon_links": repository(),
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "navigation_with_keys": False,
}
templates_path = ["_templates"]
html_sidebars = {"**": ["pages.html"]}
html_static_path = ["_static"]
html_css_files = ["layout.css", "equations.css"]
html_js_files = ["subscripts.js"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_use_index = False  # one page has all names, and there is a search


def drop_absent(app, docname, source):
    """A page of the index that ends in "?" is listed if it is there."""
    if docname == "index":
        source[0] = re.sub(
            r"^(\w+)\?\n",
            lambda name: f"{name[1]}\n" * (HERE / f"{name[1]}.md").exists(),
            source[0],
            flags=re.MULTILINE,
        )


def setup(app):
    """Write the pages of the recipes before the sources are read."""
    app.connect("source-read", drop_absent)
    app.connect("builder-inited", lambda app: recipe_pages.write(HERE))
