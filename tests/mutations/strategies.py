"""Faults of decoding strategies."""

from tests.mutations.mutation import Mutation


def _strategy(slug: str, what: str, before: str, after: str, test: str = "") -> Mutation:
    file = f"backend/decoding/strategies/{slug}.py"
    tests = (f"decoding/strategies/test_{test or slug}.py",)
    return Mutation(f"{slug} {what}", file, before, after, tests)


STRATEGIES = (
    Mutation(
        "sampling ignores its temperature",
        "backend/decoding/strategy.py",
        "return {name: getattr(self, name) for name in SampledStrategy.model_fields}",
        "return {name: getattr(self, name) for name in SampledStrategy.model_fields} "
        '| {"temperature": 1.0}',
        ("decoding/test_pipeline.py",),
    ),
    Mutation(
        "logits are multiplied by the temperature",
        "backend/decoding/pipeline.py",
        "logits = logits / self.temperature",
        "logits = logits * self.temperature",
        ("decoding/test_pipeline.py",),
    ),
    Mutation(
        "typical keeps what is farthest from the entropy",
        "backend/decoding/pipeline.py",
        "(surprisal - entropy).abs()",
        "-(surprisal - entropy).abs()",
        ("decoding/test_pipeline.py",),
    ),
    _strategy("greedy", "takes another than the likeliest", "lane.now.best", "0", "first_tokens"),
    Mutation(
        "sampling draws nothing",
        "backend/decoding/strategies/sampling.py",
        "lane.drawn()",
        "lane.now.best",
        ("decoding/test_pipeline.py",),
    ),
    _strategy(
        "beam",
        "writes the worst text",
        "self._write(lane, max(finished, key=self._score))",
        "self._write(lane, min(finished, key=self._score))",
    ),
    _strategy(
        "beam",
        "multiplies by the length",
        "self.log_prob / float(",
        "self.log_prob * float(",
    ),
    _strategy(
        "quadrants",
        "draws cooler where tokens are alike",
        '"flat": self.warmer, "lost": self.cooler',
        '"flat": self.cooler, "lost": self.warmer',
    ),
    _strategy(
        "quadrants",
        "keeps the least likely path",
        "best = max(tried",
        "best = min(tried",
    ),
    _strategy(
        "edt",
        "is warmer where the model is sure",
        "self.theta / max(entropy, LEAST_NATS)",
        "self.theta * max(entropy, LEAST_NATS)",
    ),
    _strategy(
        "contrastive",
        "likes what is like the text",
        "- self.alpha * alike",
        "+ self.alpha * alike",
    ),
    _strategy(
        "adadec",
        "pauses where the model is sure",
        "now.entropy_nats <= line",
        "now.entropy_nats > line",
    ),
    _strategy("cntp", "keeps the worst trial", "best = max(tried", "best = min(tried"),
    _strategy(
        "layer_contrast",
        "adds the early layer",
        "last - self.weight * others[row]",
        "last + self.weight * others[row]",
    ),
    _strategy(
        "mirostat",
        "moves its bound the wrong way",
        "bound -= self.rate",
        "bound += self.rate",
    ),
    _strategy(
        "hapo_temperature",
        "is cooler where the model is unsure",
        "return 1 + self.tau",
        "return 1 - self.tau",
    ),
    *(
        _strategy("magic_words", *fault)
        for fault in (
            ("keeps the worst candidate", "best = max(scores, key", "best = min(scores, key"),
            (
                "puts words to the right",
                "return [(token, *best) for token in pool]",
                "return [(*best, token) for token in pool]",
            ),
            (
                "takes the least gradient",
                "gains.topk(self.pool, -1)",
                "gains.topk(self.pool, -1, largest=False)",
            ),
            (
                "swaps a place too far",
                "(*best[:place], token, *best[place + 1 :])",
                "(*best[: place + 1], token, *best[place + 1 :])",
            ),
            (
                "forgets what it had when it swaps",
                "found = self._pools(lane, best, wanted), {best: None}",
                "found = self._pools(lane, best, wanted), {}",
            ),
            ("scores from a token late", ")[len(words) :].float()", ")[len(words) - 1 :].float()"),
            (
                "takes the mean for the sum",
                "total = sum(float(row[token]) for row, token in "
                "zip(log_probs, wanted, strict=True))",
                "total = sum(float(row[token]) for row, token "
                "in zip(log_probs, wanted, strict=True)) / len(wanted)",
            ),
            (
                "wants another rank",
                "min(self.rank, len(order)) - 1",
                "min(self.rank, len(order) - 1)",
            ),
            ("goes on once it is reached", "if found[-1][1]:  # it", "if False:  # it"),
        )
    ),
    *(
        _strategy("activation_attack", *fault)
        for fault in (
            ("goes down the gradient", "edit = edit + self.rate *", "edit = edit - self.rate *"),
            ("does not correct the mean", "(mean / (1 - FADING**step))", "mean"),
            (
                "does not correct the spread",
                "(square / (1 - FADING_SQUARE**step)).sqrt()",
                "square.sqrt()",
            ),
            ("ends too early", "if value > -log(2):", "if value > -log(4):"),
            (
                "begins anew for each number",
                "clean, edit, wanted[:count])",
                "clean, clean.float() * 0, wanted[:count])",
            ),
            (
                "counts a target that was not written",
                "while right < len(targets) and int(stepper.logits.argmax()) == targets[right]:",
                "while right < len(targets):",
            ),
            (
                "keeps an edit that failed",
                "            if right < count:\n                break\n",
                "",
            ),
            ("turns kappa", "{solved / rows:.3g}", "{rows / solved:.3g}"),
            ("counts nats for bits", "bits = log2(len", "bits = log(len"),
            (
                "reads the clean embeddings",
                "(clean + kept).to(clean.dtype), wanted, solved",
                "clean, wanted, solved",
            ),
        )
    ),
)
