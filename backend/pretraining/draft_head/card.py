"""The text that lies beside a head: what it is, how it was made, what it was judged by."""

from collections.abc import Mapping
from typing import Any

from tokenarium.backend.pretraining.draft_head.head import Shape


def card(
    shape: Shape, target: str, tokens: int, plan: Mapping[str, Any], found: Mapping[str, Any]
) -> str:
    """A model card in Markdown from the plan and a summary of ``evaluation``."""
    four = found["draft_len_4"]
    lines = [
        f"| {name} | {row['tokens_per_pass']:.3f} | {row['interval'][0]:.3f} to "
        f"{row['interval'][1]:.3f} | {row['mean_accepted']:.3f} |"
        for name, row in four.items()
        if name != "over_lookup"
    ]
    kinds = [
        f"| {kind} | " + " | ".join(f"{four[name]['by_kind'][kind]:.2f}" for name in _NAMES) + " |"
        for kind in four["head"]["by_kind"]
    ]
    matches = ", ".join(f"{share:.3f}" for share in found["conditional_match"])
    heads = f"{shape.num_attention_heads} query heads on {shape.num_key_value_heads}"
    steps = f"AdamW at {plan['lr']}, {plan['batch']} chats a step, seed {plan['seed']}"
    return f"""# Draft head for {target or "its target"}

One Llama layer (width {shape.hidden_size}, {heads}) that reads the target's last hidden
state and the next token's embedding, and guesses the next hidden state. Tokens are guessed through
the target's own unembedding rows of {plan["vocabulary"]:,} ids (`vocabulary` in
`head.safetensors`), so it is of no use without that target.

## Training

{tokens:,} tokens that the target wrote, users' first words partly given; closed-form start,
{plan["unroll"]} guesses unrolled, {steps}.

## Judged

On {found["prompts"]} chats never trained on, greedy answers, {found["positions"]:,} positions:
a guess is right, given that those before it were, in {matches} of cases (1st to 4th), and
{found["coverage"]:.1%} of the answers' tokens are in the vocabulary.

By round, up to 4 guesses each; plain decoding writes 1 token a pass. 95 % intervals over prompts.

| Drafter | Tokens per pass | Interval | Mean accepted |
|---|---|---|---|
{chr(10).join(lines)}

| Tokens per pass | {" | ".join(_NAMES)} |
|---|{"---|" * len(_NAMES)}
{chr(10).join(kinds)}

Passes are no seconds: what a guess and a longer pass cost depends on the machine.
"""


_NAMES = ("head", "lookup", "lookup_else_head")
