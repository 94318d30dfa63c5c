"""Faults of methods: policies, rules, strategies, attributors."""

from tests.mutations.mutation import Mutation


def _scores(slug: str, before: str, after: str) -> Mutation:
    file = f"backend/cache/policies/{slug}.py"
    tests = (f"cache/policies/test_{slug}.py",)
    return Mutation(f"{slug} keeps the opposite", file, before, after, tests)


def _rule(slug: str, what: str, before: str, after: str) -> Mutation:
    file = f"backend/speculation/rules/{slug}.py"
    tests = ("speculation/test_rules.py", "contracts/test_rules.py")
    return Mutation(f"{slug} {what}", file, before, after, tests)


def _strategy(slug: str, what: str, before: str, after: str, test: str = "") -> Mutation:
    file = f"backend/decoding/strategies/{slug}.py"
    tests = (f"decoding/strategies/test_{test or slug}.py",)
    return Mutation(f"{slug} {what}", file, before, after, tests)


def _attributor(slug: str, before: str, after: str, test: str) -> Mutation:
    file = f"backend/attribution/methods/{slug}.py"
    tests = (f"attribution/test_{test}.py",)
    return Mutation(f"{slug} with its sign turned", file, before, after, tests)


POLICIES = (
    _scores("knorm", "return -key_lengths(view)", "return key_lengths(view)"),
    _scores("keydiff", "return -cosine", "return cosine"),
    _scores("snapkv", 'return view.state("votes")', 'return -view.state("votes")'),
    _scores("tova", 'return view.state("looked_at")', 'return -view.state("looked_at")'),
    _scores("h2o", 'return view.state("mass")', 'return -view.state("mass")'),
    _scores("scissorhands", 'return -view.state("unseen")', 'return view.state("unseen")'),
    _scores("sirllm", "* self.fading**later", "* -(self.fading**later)"),
    _scores("recent", "return view.positions.float()", "return -view.positions.float()"),
    Mutation(
        "snapkv's window is a token short",
        "backend/cache/policies/snapkv.py",
        "return Protected(newest=self.window)",
        "return Protected(newest=self.window - 1)",
        ("cache/policies/test_snapkv.py",),
    ),
)

RULES = (
    Mutation(
        "speculative sampling accepts with draft over target",
        "backend/speculation/distribution.py",
        "(target / draft).clamp_max(1)",
        "(draft / target).clamp_max(1)",
        ("speculation/test_distribution.py",),
    ),
    Mutation(
        "the residual is what the draft gave too much",
        "backend/speculation/distribution.py",
        "(target - draft).clamp_(min=0)",
        "(draft - target).clamp_(min=0)",
        ("speculation/test_distribution.py",),
    ),
    _rule(
        "speculative_sampling",
        "accepts with draft over target",
        "accept = acceptance_ratio(target_prob, draft_prob)",
        "accept = acceptance_ratio(draft_prob, target_prob)",
    ),
    _rule(
        "multi_round",
        "tests every child against the target itself",
        "target = residual(target, draft)",
        "pass",
    ),
    _rule(
        "recursive",
        "leaves a tested child in the draft",
        "without(draft, token[:, None])",
        "draft",
    ),
    _rule(
        "k_seq",
        "divides by rho where it multiplies",
        "rho[:, 0] * draft_prob",
        "draft_prob / rho[:, 0]",
    ),
    _rule("typical", "accepts what is unlikely", "(target_prob > least)", "(target_prob < least)"),
    _rule(
        "greedy", "accepts the least likely", "best = target.argmax(-1", "best = target.argmin(-1"
    ),
    _rule(
        "top_k_set",
        "leaves an elder sibling's mass",
        "left = left.scatter(-1, token[:, None], 0)",
        "pass",
    ),
    _rule(
        "ensemble",
        "mixes the other way round",
        "(draft * (1 - self.weight)).add_(target * self.weight)",
        "(target * (1 - self.weight)).add_(draft * self.weight)",
    ),
)

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
)

ATTRIBUTORS = (
    _attributor(
        "occlusion",
        "Attribution(game.whole - game.values(one_out, self.change))",
        "Attribution(game.values(one_out, self.change) - game.whole)",
        "occlusion",
    ),
    _attributor(
        "gradient_input",
        "game.by_unit(products)",
        "game.by_unit(-products)",
        "gradients",
    ),
    _attributor(
        "integrated_gradients",
        "game.by_unit(per_token)",
        "game.by_unit(-per_token)",
        "gradients",
    ),
    _attributor(
        "logit_attribution",
        "game.by_unit(found.by_token)",
        "game.by_unit(-found.by_token)",
        "direct",
    ),
    _attributor(
        "reagent", "np.where(kept, -credit, credit)", "np.where(kept, credit, -credit)", "reagent"
    ),
    _attributor(
        "rollout", "game.by_unit(rolled_out(halves))", "-game.by_unit(rolled_out(halves))", "mixing"
    ),
    _attributor(
        "textgen_shap",
        "values[without + (1 << unit)] - values[without]",
        "values[without] - values[without + (1 << unit)]",
        "shapley",
    ),
    _attributor(
        "value_zeroing",
        'game.whole - game.values(one_out, "zero_value")',
        'game.values(one_out, "zero_value") - game.whole',
        "mixing",
    ),
)
