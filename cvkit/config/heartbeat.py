"""The section `heartbeat` of `cvkit.yml`: who is told that the schedule lives, and tells people when it does not."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from cvkit.addresses import is_loopback
from cvkit.config.alerts import Address, Secret
from cvkit.config.values import Section


class HeartbeatSettings(Section):
    """A dead man's switch elsewhere: told after each round of the schedule, it tells people when it hears nothing."""

    url: Address = Field("", description="Its address; empty: none, or that in `secret`.")
    secret: Secret = Field("", description="Where the address lies if it is a secret: env:NAME or file:/PATH.")
    kind: Literal["healthchecks", "plain"] = Field(
        "healthchecks",
        description="healthchecks: POST to the address, /start before, /fail after; plain: GET when all is done.",
    )
    timeout_s: float = Field(10.0, gt=0, le=120, description="Seconds one signal may take.")

    @model_validator(mode="after")
    def _one_address(self) -> HeartbeatSettings:
        if self.url and self.secret:
            raise ValueError("`url`, or `secret` where the address itself is one")
        if "?" in self.url or "#" in self.url:
            raise ValueError("an address without ? and #: /start and /fail are added to it")
        if urlsplit(self.url).scheme == "http" and not is_loopback(self.url):
            raise ValueError("https://, as whoever knows the address can say that all is well")
        return self

    @property
    def wanted(self) -> bool:
        """Whether there is one."""
        return bool(self.url or self.secret)
