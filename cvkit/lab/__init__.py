"""The lab: a calm panel for JupyterLab to look at a workspace with, without writing code first."""

from cvkit.lab.panel import Panel, explore

__all__ = ["Panel", "explore"]
