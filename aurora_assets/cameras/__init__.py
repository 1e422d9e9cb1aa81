"""The sky camera's assets and checks."""
