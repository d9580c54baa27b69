"""The built-in methods: one plugin per file.

In a wheel the files lie beside this module. In a source checkout they lie in the top-level
folder ``methods/``, which carries no ``__init__.py`` and is added to the search path here.
"""

from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
if (_ROOT / "pyproject.toml").is_file():
    __path__.append(str(_ROOT / "methods"))
