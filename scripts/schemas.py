"""Write the JSON Schemas of the health files, from the models, into ``docs/schemas``. ``make schemas`` runs it."""

import json
from pathlib import Path

from aurora_platform.health.alert_state import State
from aurora_platform.health.models import Assessment, Snapshot

DIRECTORY = Path(__file__).resolve().parent.parent / "docs" / "schemas"
FILES = {"latest.json": Snapshot, "latest_health.json": Assessment, "state.json": State}


def schema_of(name: str) -> str:
    """Return the schema of a health file as text."""
    return json.dumps(FILES[name].model_json_schema(mode="serialization"), indent=2) + "\n"


def main() -> None:
    """Write all schemas."""
    DIRECTORY.mkdir(exist_ok=True)
    for name in FILES:
        (DIRECTORY / name).write_text(schema_of(name))


if __name__ == "__main__":
    main()
