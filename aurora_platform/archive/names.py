"""What the archive's parts are called: the ledger's groups, and the directories of the manifests."""

from pathlib import Path

WXCAM_PRODUCTS, CORE_PRODUCTS, EVIDENCE = "wxcam_products", "core_products", "evidence"
LATEST, HISTORY, FINALIZED = "latest", "history", "finalized"


def raw_group(stream: str) -> str:
    """The ledger's group of a stream's raw files."""
    return f"raw/{stream}"


def latest(manifests: Path) -> Path:
    """Where the newest manifests of all streams are."""
    return manifests / LATEST


def finalized(manifests: Path, stream: str) -> Path:
    """Where the finalizations of a stream are."""
    return manifests / FINALIZED / stream
