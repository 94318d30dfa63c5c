"""Instruments: how a running model is observed without changing what it computes."""

from tokenarium.backend.observe.attention import (
    NAME,
    AttentionCall,
    Recorder,
    install,
    plain_attention,
    recording,
)
from tokenarium.backend.observe.masks import Band

__all__ = [
    "NAME",
    "AttentionCall",
    "Band",
    "Recorder",
    "install",
    "plain_attention",
    "recording",
]
