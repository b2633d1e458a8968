"""`cvkit.yml`: every setting a user can make, read and checked in one place.

The models in here are the one description of the file: the checks, the published JSON schema and the reference page
come from them.
"""

from cvkit.config.alerts import AlertRule, AlertSettings, Channel, Severity
from cvkit.config.file import Config, load_config, parse_config, schema, with_champion
from cvkit.config.sections import (
    CaptureSettings,
    JobSettings,
    ModelSettings,
    ReferenceSettings,
    RuleSettings,
    SiteSettings,
)

__all__ = [
    "AlertRule",
    "AlertSettings",
    "CaptureSettings",
    "Channel",
    "Config",
    "JobSettings",
    "ModelSettings",
    "ReferenceSettings",
    "RuleSettings",
    "Severity",
    "SiteSettings",
    "load_config",
    "parse_config",
    "schema",
    "with_champion",
]
