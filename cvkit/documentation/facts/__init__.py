"""Facts for documents: what the project's own records say, each with its source and date."""

from cvkit.documentation.facts.known import Known, know
from cvkit.documentation.facts.table import Fact
from cvkit.documentation.facts.told import FACTS, told

__all__ = ["FACTS", "Fact", "Known", "know", "told"]
