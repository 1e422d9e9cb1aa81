"""The graph has the stored names of assets, checks, jobs, schedules and sensors.

After adding one: ``python -m tests.baseline.golden --graph`` writes ``graph.json`` again; review its difference.
"""

import json
from pathlib import Path

from aurora_assets.definitions import build
from aurora_platform.config.site import load_site
from tests.baseline import golden


def test_the_graph_equals_the_stored_graph(tmp_path: Path) -> None:
    now = golden.graph(build(load_site(golden.write_site(tmp_path))))
    assert len(now["assets"]) > 40
    assert now == json.loads(golden.GRAPH.read_text())
