"""What a video was made from and which clips it leaves out, as the video itself says it.

The identity of its inputs stands in the MP4's ``comment``, what is excluded of them in its ``description`` (JSON,
relative path -> reason, and the versions that could not take it; not there where nothing is). Where no clip is left
there is no video to say it: then a note beside the conversions does, so that the same versions do not try the same
clips again.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from aurora_platform.cameras import recipes
from aurora_platform.cameras.media import VERSIONS, open_clip
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.errors import MediaError
from aurora_platform.fs.atomic import publish_file

_INPUTS, _EXCLUDED, _MADE_WITH = "inputs_sha256", "excluded", "made_with"


@dataclass(frozen=True)
class Inputs:
    """What a video, or the note that there is none, says of its inputs."""

    data_version: str
    excluded: dict[str, str] = field(default_factory=dict)
    """relative path -> why it is left out"""
    made_with: str = VERSIONS

    @property
    def is_final(self) -> bool:
        """Whether what is left out would be left out again: another version of FFmpeg may take it."""
        return not self.excluded or self.made_with == VERSIONS

    def tags(self) -> dict[str, str]:
        """As metadata of an MP4."""
        told = {"comment": f"{recipes.VIDEO} {self.data_version}"}
        return told | ({"description": json.dumps(self.left_out())} if self.excluded else {})

    def left_out(self) -> dict[str, object]:
        """What is left out, and which versions could not take it."""
        return {_EXCLUDED: self.excluded, _MADE_WITH: self.made_with}


def inputs_of(video: Path) -> Inputs | None:
    """What a published video was made from; None where there is none, or it is not one of ours."""
    if not video.is_file():
        return None
    try:
        with open_clip(video) as container:
            tags = dict(container.metadata)
    except (MediaError, MemoryError):  # damage may look like either; it is made again
        return None
    recipe, _, digest = tags.get("comment", "").partition(" ")
    return _parsed_inputs(digest, _parsed(tags.get("description", ""))) if recipe == recipes.VIDEO else None


def inputs_of_none(workspace: CameraWorkspace, video: Path) -> Inputs | None:
    """The clips from which no video could be made; None where nobody has noted any."""
    try:
        text = _note(workspace, video).read_text()
    except FileNotFoundError:
        return None
    said = _parsed(text)
    return _parsed_inputs(str(said.get(_INPUTS)), said)


def note_none(workspace: CameraWorkspace, video: Path, inputs: Inputs, staged: Path) -> None:
    """Note that no video can be made from these clips."""
    staged.write_text(json.dumps({_INPUTS: inputs.data_version, **inputs.left_out()}, indent=1))
    publish_file(staged, _note(workspace, video))


def _note(workspace: CameraWorkspace, video: Path) -> Path:
    return workspace.layout.conversions(video.parent.name) / f"{video.stem}.json"


def _parsed_inputs(data_version: str, said: dict[str, object]) -> Inputs:
    excluded = said.get(_EXCLUDED)
    reasons = {str(path): str(reason) for path, reason in excluded.items()} if isinstance(excluded, dict) else {}
    return Inputs(data_version, reasons, str(said.get(_MADE_WITH, "")))


def _parsed(text: str) -> dict[str, object]:
    try:
        said = json.loads(text)
    except ValueError:
        return {}  # of another program, or damaged: it says nothing
    return said if isinstance(said, dict) else {}
