"""What panels of the Speculate page are handed: a run that guesses ahead."""

from tokenarium.backend import SpeculateRequest, SpeculationResult
from tokenarium.ui.shell.panel import Scene

SpeculateScene = Scene[SpeculationResult, SpeculateRequest]
