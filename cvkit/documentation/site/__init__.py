"""The site: pages about a workspace, the MkDocs plugin that adds them, and the commands that build and serve it."""

from cvkit.documentation.site.building import build, serve
from cvkit.documentation.site.plugin import CvkitPlugin

__all__ = ["CvkitPlugin", "build", "serve"]
