"""What panels of the Why page are handed: an attribution."""

from tokenarium.backend import AttributeRequest, AttributeResult
from tokenarium.ui.shell.panel import Scene

AttributionScene = Scene[AttributeResult, AttributeRequest]
