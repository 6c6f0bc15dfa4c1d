"""The batfs command: thin."""
