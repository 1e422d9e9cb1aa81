"""What a video was made from and which clips it leaves out, as the video itself says it.

The identity of its inputs stands in the MP4's ``comment``, what is excluded of them in its ``description`` (JSON,
relative path -> reason; not there where nothing is). Where no clip is left there is no video to say it: then a note
beside the conversions does, so that the same clips are not tried again.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from aurora_assets.errors import MediaError
from aurora_assets.files import publish_file
from aurora_assets.wxcam import recipes
from aurora_assets.wxcam.layout import Layout
from aurora_assets.wxcam.media import open_clip

_INPUTS, _EXCLUDED = "inputs_sha256", "excluded"


@dataclass(frozen=True)
class Inputs:
    """What a video, or the note that there is none, says of its inputs."""

    identity: str
    excluded: dict[str, str] = field(default_factory=dict)
    """relative path -> why it is left out"""

    def tags(self) -> dict[str, str]:
        """As metadata of an MP4."""
        told = {"comment": f"{recipes.VIDEO} {self.identity}"}
        return told | ({"description": json.dumps({_EXCLUDED: self.excluded})} if self.excluded else {})


def inputs_of(video: Path) -> Inputs | None:
    """What a published video was made from; None where there is none, or it is not one of ours."""
    if not video.is_file():
        return None
    try:
        with open_clip(video) as container:
            tags = dict(container.metadata)
    except MediaError:
        return None
    recipe, _, digest = tags.get("comment", "").partition(" ")
    return Inputs(digest, _excluded(tags.get("description", ""))) if recipe == recipes.VIDEO else None


def inputs_of_none(layout: Layout, video: Path) -> Inputs | None:
    """The clips from which no video could be made; None where nobody has noted any."""
    try:
        text = _note(layout, video).read_text()
    except FileNotFoundError:
        return None
    said = _parsed(text)
    return Inputs(str(said.get(_INPUTS)), _excluded(text))


def note_none(layout: Layout, video: Path, inputs: Inputs, staged: Path) -> None:
    """Note that no video can be made from these clips."""
    staged.write_text(json.dumps({_INPUTS: inputs.identity, _EXCLUDED: inputs.excluded}, indent=1))
    publish_file(staged, _note(layout, video))


def _note(layout: Layout, video: Path) -> Path:
    return layout.conversions(video.parent.name) / f"{video.stem}.json"


def _excluded(text: str) -> dict[str, str]:
    excluded = _parsed(text).get(_EXCLUDED)
    return {str(path): str(reason) for path, reason in excluded.items()} if isinstance(excluded, dict) else {}


def _parsed(text: str) -> dict[str, object]:
    try:
        said = json.loads(text)
    except ValueError:
        return {}  # of another program, or damaged: it says nothing
    return said if isinstance(said, dict) else {}
