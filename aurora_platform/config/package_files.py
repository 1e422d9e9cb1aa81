"""Files that come with the package (the demo's site file, Dagster's settings), and the checkout that it runs from."""

from pathlib import Path

_DIRECTORY = Path(__file__).resolve().parent

# In a checkout both are links to files of the checkout; an installed package holds the files themselves.
DEMO_SITE = (_DIRECTORY / "demo.yaml").resolve()
DAGSTER_YAML = (_DIRECTORY / "dagster.yaml").resolve()

CHECKOUT = None if DAGSTER_YAML.parent == _DIRECTORY else DAGSTER_YAML.parent
"""The top directory of the checkout; None in an installed package."""

DEMO_DIRECTORY = "aurora-demo"
"""Default directory of the demo of an installed package, below the working directory."""
DEMO_MARK = "# Made by `aurora demo`."


def demo_site_text() -> str:
    """The demo's site file for a directory of its own: all its paths lie beside it."""
    text = DEMO_SITE.read_text()
    keys = text[text.index("name:") :].replace("../.aurora/", "")
    return f"{DEMO_MARK} One camera host, which is the folder camera/ beside this file.\n{keys}"
