"""Files that come with the package (the demo's site file, Dagster's settings), and the checkout that it runs from."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent

# In a checkout both are links to the files that stand at its top; an installed package holds the files themselves.
DEMO_SITE = (_HERE / "demo.yaml").resolve()
DAGSTER_YAML = (_HERE / "dagster.yaml").resolve()

CHECKOUT = None if DAGSTER_YAML.parent == _HERE else DAGSTER_YAML.parent
"""The top of the checkout; None in an installed package."""

DEMO_DIRECTORY = "aurora-demo"
"""Where the demo of an installed package lies, below the working directory, unless ``aurora demo`` is told another."""
DEMO_MARK = "# Made by `aurora demo`."


def demo_site_text() -> str:
    """The demo's site file for a directory of its own: everything that it names lies beside it."""
    text = DEMO_SITE.read_text()
    keys = text[text.index("name:") :].replace("../.aurora/", "")
    return f"{DEMO_MARK} One camera host, which is the folder camera/ beside this file.\n{keys}"
