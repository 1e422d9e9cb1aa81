"""The inputs and exclusions of a video, as recorded in its MP4 tags.

The tag ``comment`` holds the data version of the inputs. The tag ``description`` holds the excluded clips (JSON,
relative path -> reason) and the library versions that could not use them; it is absent if no clip is excluded. If no
clip can be used, there is no video: then a JSON file beside the conversions holds the record, so that the same
versions do not try the same clips again.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from aurora_platform.cameras import recipes
from aurora_platform.cameras.media import LIBRARY_VERSIONS, open_clip
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.errors import MediaError
from aurora_platform.fs.atomic import publish_file

_INPUTS, _EXCLUDED, _MADE_WITH = "inputs_sha256", "excluded", "made_with"


@dataclass(frozen=True)
class VideoInputs:
    """The inputs of a video, or of the record that no video can be made."""

    data_version: str
    excluded: dict[str, str] = field(default_factory=dict)
    """relative path -> reason"""
    made_with: str = LIBRARY_VERSIONS

    @property
    def is_final(self) -> bool:
        """Whether the same clips would be excluded again: another version of FFmpeg may be able to use them."""
        return not self.excluded or self.made_with == LIBRARY_VERSIONS

    def tags(self) -> dict[str, str]:
        """Return the tags for the MP4."""
        tags = {"comment": f"{recipes.VIDEO} {self.data_version}"}
        return tags | ({"description": json.dumps(self.exclusion_fields())} if self.excluded else {})

    def exclusion_fields(self) -> dict[str, object]:
        """Return the excluded clips, and the library versions that could not use them, as JSON fields."""
        return {_EXCLUDED: self.excluded, _MADE_WITH: self.made_with}


def read_inputs(video: Path) -> VideoInputs | None:
    """Read the inputs of a published video; None if there is no video, or Aurora did not make it."""
    if not video.is_file():
        return None
    try:
        with open_clip(video) as container:
            tags = dict(container.metadata)
    except (MediaError, MemoryError):  # a damaged file may raise either; the video is made again
        return None
    recipe, _, version = tags.get("comment", "").partition(" ")
    return _parse_inputs(version, _parse_json_object(tags.get("description", ""))) if recipe == recipes.VIDEO else None


def read_no_video_record(workspace: CameraWorkspace, video: Path) -> VideoInputs | None:
    """Read the record of the clips from which no video could be made; None if there is no record."""
    try:
        text = _no_video_path(workspace, video).read_text()
    except FileNotFoundError:
        return None
    fields = _parse_json_object(text)
    return _parse_inputs(str(fields.get(_INPUTS)), fields)


def record_no_video(workspace: CameraWorkspace, video: Path, inputs: VideoInputs, staged: Path) -> None:
    """Record that no video can be made from these clips."""
    staged.write_text(json.dumps({_INPUTS: inputs.data_version, **inputs.exclusion_fields()}, indent=1))
    publish_file(staged, _no_video_path(workspace, video))


def _no_video_path(workspace: CameraWorkspace, video: Path) -> Path:
    return workspace.layout.conversions(video.parent.name) / f"{video.stem}.json"


def _parse_inputs(data_version: str, fields: dict[str, object]) -> VideoInputs:
    excluded = fields.get(_EXCLUDED)
    reasons = {str(path): str(reason) for path, reason in excluded.items()} if isinstance(excluded, dict) else {}
    return VideoInputs(data_version, reasons, str(fields.get(_MADE_WITH, "")))


def _parse_json_object(text: str) -> dict[str, object]:
    try:
        fields = json.loads(text)
    except ValueError:
        return {}  # written by another program, or damaged
    return fields if isinstance(fields, dict) else {}
