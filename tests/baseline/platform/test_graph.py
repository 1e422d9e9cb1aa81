"""The graph is the one of before: everything that people and programs know by its name."""

import json
from pathlib import Path

from aurora_assets.definitions import build
from aurora_platform.config.site import load_site
from tests.baseline import golden


def test_the_graph_is_the_one_of_before(tmp_path: Path) -> None:
    now = golden.graph(build(load_site(golden.write_site(tmp_path))))
    assert len(now["assets"]) > 40
    assert now == json.loads(golden.GRAPH.read_text())
