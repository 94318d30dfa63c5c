"""What panels of the Explore page are handed: a trace."""

from tokenarium.backend import TraceRequest, TraceResult
from tokenarium.ui.shell.panel import Scene

TraceScene = Scene[TraceResult, TraceRequest]
