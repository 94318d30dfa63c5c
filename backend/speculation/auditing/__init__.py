"""Whether a run of speculative decoding can be what the target alone would say."""
