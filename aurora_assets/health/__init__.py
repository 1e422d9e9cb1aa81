"""Assets and checks of health, freshness and alerts."""
