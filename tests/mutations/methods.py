"""Faults of acceptance rules, attributors and measures."""

from tests.mutations.mutation import Mutation


def _rule(slug: str, what: str, before: str, after: str) -> Mutation:
    file = f"backend/speculation/rules/{slug}.py"
    tests = ("speculation/test_rules.py", "contracts/test_rules.py")
    return Mutation(f"{slug} {what}", file, before, after, tests)


def _attributor(slug: str, before: str, after: str, test: str) -> Mutation:
    file = f"backend/attribution/methods/{slug}.py"
    tests = (f"attribution/test_{test}.py",)
    return Mutation(f"{slug} with its sign turned", file, before, after, tests)


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
        "if known is None:\n        return left_over(target, draft)",
        "if known is None:\n        return left_over(draft, target)",
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

MEASURES = tuple(
    Mutation(
        f"diffadapt {what}",
        "backend/judging/measures/diffadapt.py",
        before,
        after,
        ("judging/test_diffadapt.py",),
    )
    for what, before, after in (
        ("turns the entropy", "entropies.append(-float(", "entropies.append(float("),
        ("sums entropies of an answer", "float(np.mean(entropies)), said", "float(np.sum("
         "entropies)), said"),
        ("asks a sum that is solved above", 'return f"{solved}{one} + {two} =", one + two',
         'return f"{solved}{one} + {two} =", one + two + 1'),
        ("turns the dip", 'min(doubt["easy"], doubt["hard"]) - doubt["middle"]',
         'doubt["middle"] - min(doubt["easy"], doubt["hard"])'),
        ("takes the higher side of the dip", 'min(doubt["easy"], doubt["hard"])',
         'max(doubt["easy"], doubt["hard"])'),
        ("marks beyond the least doubt", "passage.entropy > max(doubt.values())",
         "passage.entropy > min(doubt.values())"),
        ("compares with the levels' means alone",
         "Null.of_draws([nats for each in found.values() for nats, _ in each], measured)",
         "Null.of_draws([nats for nats, _ in found[\"easy\"]], measured)"),
        ("draws sums without their last number", "draw.integers(low, high + 1, (SOLVED",
         "draw.integers(low, high, (SOLVED"),
        ("writes the least likely", "written.append(int(logs.argmax()))",
         "written.append(int(logs.argmin()))"),
        ("goes on after the line", 'and "\\n" not in said', ""),
    )
)  # fmt: skip

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
