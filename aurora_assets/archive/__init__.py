"""Assets and checks of the archive and of the manifests."""
