"""Faults of what every run goes through: order, keys, bounds, pages, statistics."""

from tests.mutations.mutation import Mutation

PAGES = ("contracts/test_pages.py", "contracts/test_page_addresses.py")


def _pages(name: str, file: str, before: str, after: str) -> Mutation:
    return Mutation(name, file, before, after, PAGES)


GLUE = (
    Mutation(
        "the newest arrays are dropped first",
        "storage/limit.py",
        ".order_by(RunRow.created)",
        ".order_by(RunRow.created.desc())",
        ("storage/test_store.py",),
    ),
    Mutation(
        "renewed events keep their old place",
        "backend/runs/event_channel.py",
        "return min(unread, key=lambda numbered: numbered[0])",
        "return unread[0]",
        ("runs/test_event_channel.py",),
    ),
    Mutation(
        "memory bound without the new tokens",
        "backend/cost/run_memory.py",
        '"prefill": plan.budget + steps',
        '"prefill": plan.budget',
        ("cost/test_memory.py", "cache/test_course.py"),
    ),
    Mutation(
        "a bin's place is its largest value",
        "backend/speculation/summary.py",
        "Share(float(values[part].mean())",
        "Share(float(values[part].max())",
        ("speculation/test_run.py", "speculation/test_replay.py"),
    ),
    _pages(
        "a reopened run shows oracle=True always",
        "ui/pages/cache.py",
        "for name in FIELDS}\n",
        'for name in FIELDS} | {"oracle": True}\n',
    ),
    _pages(
        "the full cache always runs alongside",
        "ui/pages/cache.py",
        'oracle=bool(asked["oracle"])',
        "oracle=True",
    ),
    _pages(
        "an address opens a view that the page has not",
        "ui/shell/handlers.py",
        "if wanted.view in self.page.tabs:",
        "if wanted.view is not None:",
    ),
    _pages(
        "what is carried along replaces a named run's text",
        "ui/shell/handlers.py",
        "if MAIN not in wanted.runs:\n            if other",
        "if True:\n            if other",
    ),
    _pages(
        "an address of another page's run stays where it is",
        "ui/shell/handlers.py",
        "if moved := self._elsewhere(wanted.runs, going, asker):",
        "if (moved := self._elsewhere(wanted.runs, going, asker)) and False:",
    ),
    Mutation(
        "the key of a run leaves out its model's fingerprint",
        "backend/runs/repository.py",
        "identity = [fingerprint, str(version)]",
        "identity = [str(version)]",
        ("runs/test_lab.py", "runs/test_repository.py"),
    ),
    Mutation(
        "the key of a run leaves out the token limit",
        "backend/runs/repository.py",
        "if request.depends_on_limit:",
        "if False:",
        ("runs/test_lab.py", "runs/test_repository.py"),
    ),
    Mutation(
        "the key of a run leaves out the version of its kind",
        "backend/runs/repository.py",
        "identity = [fingerprint, str(version)]",
        "identity = [fingerprint]",
        ("runs/test_versions.py", "runs/test_repository.py"),
    ),
    Mutation(
        "the key of a request leaves out its kind",
        "backend/runs/request.py",
        "content = [self.kind, stored_form(self), *identity]",
        "content = [stored_form(self), *identity]",
        ("runs/test_requests.py",),
    ),
    Mutation(
        "a value that was added later never enters the key",
        "backend/runs/request.py",
        "if added and getattr(declared, name) == field.get_default(call_default_factory=True):",
        "if added:",
        ("runs/test_requests.py", "runs/test_versions.py"),
    ),
)

NUMBERS = (
    Mutation(
        "entropy of a row with the wrong sign, in PyTorch",
        "kernels/attention_stats/reference.py",
        "(total.log() * (share / total) - in_bits / BITS)",
        "(in_bits / BITS - total.log() * (share / total))",
        ("kernels/test_attention_stats.py",),
    ),
    Mutation(
        "entropy of a row with the wrong sign, in C",
        "kernels/attention_stats/native/attention.c",
        "(logf(total) * share - LN2 * sum_of(b->x[row])) * inverse",
        "(LN2 * sum_of(b->x[row]) - logf(total) * share) * inverse",
        ("kernels/test_attention_stats.py",),
    ),
    Mutation(
        "mean distance with the wrong sign",
        "kernels/attention_stats/reference.py",
        "row = torch.arange(weights.shape[2], device=weights.device) - middle",
        "row = middle - torch.arange(weights.shape[2], device=weights.device)",
        ("kernels/test_attention_stats.py",),
    ),
    Mutation(
        "a window of one key more in attention statistics",
        "kernels/attention_stats/reference.py",
        "cut = oldest - (self.offset + start - self.window + 1)",
        "cut = oldest - (self.offset + start - self.window)",
        ("kernels/test_attention_stats.py",),
    ),
    Mutation(
        "a window of one key more in a mask",
        "backend/observe/masks.py",
        "else query - window + 1",
        "else query - window",
        ("observe/test_masks.py",),
    ),
    Mutation(
        "a window of one key more after eviction",
        "backend/cache/window_attention.py",
        "(own <= position - window)",
        "(own < position - window)",
        ("cache/test_windows.py",),
    ),
    Mutation(
        "a sink counts from the threshold on, not above it",
        "backend/analysis/sinks.py",
        "(known > threshold)",
        "(known >= threshold)",
        ("analysis/test_sinks.py",),
    ),
    Mutation(
        "accumulated mass by position, not by queries that see it",
        "backend/analysis/heavy.py",
        "np.arange(result.length, 0, -1, dtype=np.float32)",
        "np.arange(1, result.length + 1, dtype=np.float32)",
        ("analysis/test_heavy.py",),
    ),
)
