"""Serving on Ray: actors, deployments, directory, launcher. Every Ray import of serving is here."""
