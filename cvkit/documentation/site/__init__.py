"""The site: pages about a workspace, the MkDocs plugin that adds them, and the commands that build and serve it."""

from cvkit.documentation.site.building import build, serve
from cvkit.documentation.site.plugin import CvkitPlugin
from cvkit.documentation.site.publishing import publish, publish_github

__all__ = ["CvkitPlugin", "build", "publish", "publish_github", "serve"]
