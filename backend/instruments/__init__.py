"""Instruments: how a running model is observed without changing what it computes."""

from backend.instruments.attention import (
    NAME,
    AttentionCall,
    Recorder,
    install,
    plain_attention,
    recording,
)
from backend.instruments.masks import Band

__all__ = [
    "NAME",
    "AttentionCall",
    "Band",
    "Recorder",
    "install",
    "plain_attention",
    "recording",
]
