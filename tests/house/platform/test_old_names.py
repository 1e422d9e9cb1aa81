"""Names from before 0.2: kept for one release with a warning, or for ever if a ``dagster.yaml`` may contain them."""

import importlib
import sys
import warnings

import pytest
from dagster import DagsterInstance
from dagster._core.launcher import RunLauncher
from dagster._core.storage.base_storage import DagsterStorage

KEPT = {
    "aurora_assets.wxcam.reader": ("aurora_platform.cameras.reader", {"open_pixels", "original_jpeg"}),
    "aurora_assets.wxcam.catalog": ("aurora_platform.cameras.catalog", {"open_readonly"}),
    "aurora_assets.archive.ledger": (
        "aurora_platform.archive.ledger",
        {"Counts", "DIFFERS", "FILE_NAME", "Item", "Ledger", "REGISTERED", "Row"},
    ),
}


@pytest.mark.parametrize("old", KEPT)
def test_an_old_name_is_the_new_object_and_warns_with_the_new_name(old: str) -> None:
    new, names = KEPT[old]
    sys.modules.pop(old, None)
    with pytest.warns(FutureWarning, match=rf"{old} is removed in the next release: import from {new}"):
        module = importlib.import_module(old)
    assert {*module.__all__} == names
    for name in names - {"FILE_NAME"}:
        assert getattr(module, name) is getattr(importlib.import_module(new), name)
    if "FILE_NAME" in names:  # it has a new name
        assert module.FILE_NAME == "ledger.sqlite"


def test_the_names_of_a_dagster_yaml_are_imported_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        launcher = importlib.import_module("resources.launcher")
        storage = importlib.import_module("resources.storage")
    assert issubclass(launcher.ProcessRunLauncher, RunLauncher)
    assert issubclass(storage.HomeInstance, DagsterInstance)
    assert issubclass(storage.SqliteStorage, DagsterStorage)
