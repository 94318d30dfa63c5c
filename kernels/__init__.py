"""Operations on tensors, each with an exact PyTorch reference; every package holds one."""
