"""cvkit keeps computer-vision models healthy after deployment: monitor, maintain, document."""

from __future__ import annotations

__version__ = "0.1.0"
