"""The live storage service: client, orchestrator, server."""
