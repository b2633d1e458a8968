"""Deployment: the files that set up Prometheus, Alertmanager, Grafana and containers, from a workspace's settings."""

from cvkit.deployment.files import files, write

__all__ = ["files", "write"]
