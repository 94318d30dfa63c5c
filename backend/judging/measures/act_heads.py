"""ACT's search: in which heads a text is read better once the sinks inside it are turned down."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.judging.measure import Measure, Need

if TYPE_CHECKING:
    from tokenarium.backend.judging.judgement import Judgement, Numbers
    from tokenarium.backend.judging.passage import Passage

DRAWS = 8
"""Sets of as many heads that are drawn for the null."""
Heads = Sequence[tuple[int, int]]


class ActHeads(Measure):
    """Calibrates one head after another, keeps those that help, then calibrates all of these.

    Heads are searched on the first half of what is judged and scored on the second.
    """

    slug: ClassVar[str] = "act_heads"
    title: ClassVar[str] = "Heads to calibrate (ACT)"
    short: ClassVar[str] = "calibrated"
    explanation: ClassVar[str] = (
        "Searches the heads in which turning down sinks inside the text makes the first half "
        "likelier, and tells what calibrating all of them does to the second half."
    )
    paper: ClassVar[str] = "Yu et al., 2024, arXiv:2406.15765"
    differs: ClassVar[str] = (
        "heads are kept by ln p of half a text, where the paper keeps them by right answers to "
        "about 1,000 questions; one layer in three is searched unless asked otherwise"
    )
    unit: ClassVar[str] = "nats"
    each_unit: ClassVar[str] = "nats"
    each_title: ClassVar[str] = "gain by calibration"
    each_formula: ClassVar[str] = "ln p of the token with all kept heads calibrated, less without"
    formula: ClassVar[str] = "mean of it over the second half, which the search has not seen"
    interval: ClassVar[str] = "95 %, batch means (Student's t over 8 batches)"
    null_formula: ClassVar[str] = "the same for as many heads drawn from those that were tried"
    details: ClassVar[Mapping[str, str]] = {
        "heads_tried": "heads that were calibrated alone",
        "heads_kept": "those with a gain in the first half",
        "best_layer": "layer of the head with the highest gain alone, in the first half",
        "best_head": "its number",
        "best_nats": "its gain there",
        "searched_nats": "gain of all kept heads together in the first half",
        "every_nats": "gain in the second half where every head that was tried is calibrated",
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"model"})

    every: int = Field(
        3, ge=1, le=64, description="One layer in so many is searched; 1 searches all, in so many "
        "times the time."
    )  # fmt: skip
    threshold: float = Field(
        0.1, gt=0, lt=1, description="Mean attention received above which a token is a sink."
    )
    factor: float = Field(0.4, ge=0, le=1, description="What a sink keeps of its attention.")

    def judge(self, passage: "Passage") -> "Judgement":
        """Return gains of tokens, and which heads were kept."""
        import numpy as np

        from tokenarium.backend.analysis.intervals import batch_means
        from tokenarium.backend.judging.judgement import NAN, Judgement, Null

        half = len(passage) // 2
        plain = self.surprisal(passage, ())
        tried = self.heads(passage)
        alone = {
            head: float((plain - self.surprisal(passage, (head,)))[:half].mean()) for head in tried
        }
        kept = [head for head, gain in alone.items() if gain > 0]
        gains = plain - self.surprisal(passage, kept)
        measured, interval = float(gains[half:].mean()), batch_means(gains[half:])
        draw = np.random.default_rng([passage.seed, 15])
        drawn = []
        for _ in range(DRAWS):
            some = [tried[at] for at in draw.permutation(len(tried))[: len(kept)]]
            drawn.append(float((plain - self.surprisal(passage, some))[half:].mean()))
        best = max(alone, key=lambda head: alone[head])
        every = float((plain - self.surprisal(passage, tried))[half:].mean())
        held_out = np.arange(len(passage)) >= half
        names = ", ".join(
            f"{layer}.{head}" for layer, head in sorted(kept, key=lambda at: -alone[at])[:8]
        )
        return Judgement(
            gains,
            measured,
            NAN if interval is None else interval.low,
            NAN if interval is None else interval.high,
            Null.of_draws(drawn, measured),
            held_out & (gains > 0),
            {
                "heads_tried": float(len(tried)),
                "heads_kept": float(len(kept)),
                "best_layer": float(best[0]),
                "best_head": float(best[1]),
                "best_nats": alone[best],
                "searched_nats": float(gains[:half].mean()),
                "every_nats": every,
            },
            notes=(
                f"ACT: {len(kept)} of {len(tried)} heads help the first half"
                + (f", most of all (layer.head) {names}" if kept else ""),
            ),
        )

    def heads(self, passage: "Passage") -> list[tuple[int, int]]:
        """Return layer and head of all that are searched: of every so many layers that attend."""
        from tokenarium.backend.models.layer_kinds import attention_layers

        assert passage.loaded is not None
        config = passage.loaded.model.config
        count = int(config.get_text_config().num_attention_heads)
        layers = list(attention_layers(config))
        middle = layers[2:-1] if len(layers) > 3 else layers  # as the paper leaves out the ends
        return [(layer, head) for layer in middle[:: self.every] for head in range(count)]

    def surprisal(self, passage: "Passage", heads: Heads) -> "Numbers":
        """Return [n] nats of the judged tokens with some heads calibrated."""
        import numpy as np
        import torch
        import torch.nn.functional as F

        from tokenarium.backend.interventions.methods.act import CalibrateSinks
        from tokenarium.backend.observe import recording
        from tokenarium.backend.observe.reading import Reading

        loaded = passage.loaded
        assert loaded is not None
        changes = {}
        if heads:
            own = CalibrateSinks(threshold=self.threshold, factor=self.factor, heads=tuple(heads))
            count = int(loaded.model.config.get_text_config().num_attention_heads)
            changes = own.changes(loaded, count)
        reading = Reading(changes, lambda _: passage.check())
        with torch.inference_mode(), recording(reading):
            tokens = torch.from_numpy(passage.ids)[None].to(loaded.device)
            out = loaded.body(input_ids=tokens, use_cache=False)
            states = out.last_hidden_state[0, passage.places - 1]
            targets = torch.from_numpy(passage.ids[passage.places]).to(states.device)
            found = F.cross_entropy(loaded.unembed(states).float(), targets, reduction="none")
        return np.asarray(found.cpu(), np.float64)
