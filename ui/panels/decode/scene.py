"""What panels of the Decode page are handed: a prompt continued by several strategies."""

from tokenarium.backend import DecodeRequest, DecodeResult, LogprobsRequest
from tokenarium.ui.shell.panel import Scene

DecodeScene = Scene[DecodeResult, DecodeRequest | LogprobsRequest]
