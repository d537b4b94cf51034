"""Sphinx configuration; `sphinx-build -W docs docs/_build/html` builds the pages."""

from __future__ import annotations

import sys
from pathlib import Path

from daphne_like import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "daphne-like"
copyright = "2026, the daphne_like authors"
version = release = __version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "file_names",
    "options_page",
    "rule_directive",
    "short_literals",
]
exclude_patterns = ["_build", "_ext", "_static"]
default_role = "literal"  # what docstrings mean by `name`
smartquotes_action = "D"  # dashes only: quotes are also those of code in docstrings
highlight_language = "text"  # a block says itself when it is more than that

autodoc_typehints = "none"  # the arguments' sections say it in words
napoleon_numpy_docstring = False
napoleon_use_ivar = True

copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"

html_theme = "furo"
html_title = f"daphne-like {version}"
html_static_path = ["_static"]
html_show_sphinx = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#a81d68",
        "color-brand-content": "#a81d68",
    },
    "dark_css_variables": {
        "color-brand-primary": "#f48bbf",
        "color-brand-content": "#f48bbf",
    },
}
