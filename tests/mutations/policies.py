"""Faults of cache policies and of what is measured of them."""

from tests.mutations.mutation import Mutation


def _scores(slug: str, before: str, after: str) -> Mutation:
    file = f"backend/cache/policies/{slug}.py"
    tests = (f"cache/policies/test_{slug}.py",)
    return Mutation(f"{slug} keeps the opposite", file, before, after, tests)


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
    *(
        Mutation(
            f"token_select {what}",
            "backend/cache/policies/token_select.py",
            before,
            after,
            ("cache/policies/test_token_select.py",),
        )
        for what, before, after in (
            ("reads again where queries differ", ") >= least", ") < least"),
            (
                "is alike by product, not by angle",
                "F.cosine_similarity(query, before, dim=0)",
                "(query @ before)",
            ),
            (
                "compares with every step's queries",
                'before = view.memory.get("query")',
                'before, view.memory["query"] = view.memory.get("query"), '
                "view.queries.float().mean(1).flatten()",
            ),
            (
                "reads the newest of the last vote again",
                'view.memory["voted"] = voted[inside]',
                'view.memory["voted"] = voted',
            ),
            (
                "forgets the newest token",
                "torch.arange(held - newest, held,",
                "torch.arange(held - newest, held - 1,",
            ),
            (
                "a first token less when it reads again",
                "torch.arange(first, device",
                "torch.arange(first - 1, device",
            ),
        )
    ),
    *(
        Mutation(
            f"attention recall {what}",
            "backend/benchmark/recall.py",
            before,
            after,
            ("benchmark/test_recall.py",),
        )
        for what, before, after in (
            ("is what was lost", "return 1 - float(", "return float("),
            ("counts what is not read as kept", "lost = lost | ~read", "lost = lost | read"),
            ("sums over KV heads", ".sum(1).mean())", ".sum(1).sum())"),
            (
                "forgets drops of earlier steps",
                "sequence.dropped[self._dropped :]",
                "sequence.dropped[self._dropped + 1 :]",
            ),
            (
                "looks a token late",
                "self._rows.get(sequence.seen - self._prompt)",
                "self._rows.get(sequence.seen - self._prompt - 1)",
            ),
            (
                "looks after what was dropped at once",
                "self._first = check, len(exercise.prompt) - 1",
                "self._first = check, len(exercise.prompt)",
            ),
            (
                "takes the first query head of a group",
                "grouped = rows.weights.unflatten(0, (groups, -1)).mean(1)",
                "grouped = rows.weights.unflatten(0, (groups, -1))[:, 0]",
            ),
        )
    ),
)
