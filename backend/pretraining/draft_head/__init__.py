"""The recipe of a small draft head that reads the target's last hidden state.

The target writes chats with itself, one head layer learns to guess its next hidden states from
them, and a gate stops a training that does not get there. Run it with
``python -m tokenarium.backend.pretraining draft-head --help``. It needs torch, numpy and
safetensors, and transformers only where text is turned into token ids.
"""
