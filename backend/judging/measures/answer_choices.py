"""Mass on answer choices: how much of the next token's probability valid answers get."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.judging.measure import Measure, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from tokenarium.backend.judging.judgement import Judgement, Numbers
    from tokenarium.backend.judging.passage import Passage


class AnswerChoices(Measure):
    """Probability that the text goes on with one of the valid answers."""

    slug: ClassVar[str] = "answer_choices"
    title: ClassVar[str] = "Mass on answer choices"
    short: ClassVar[str] = "answer mass"
    explanation: ClassVar[str] = (
        "Sums the probability that the text goes on with one of the valid answers, with or without "
        "a leading space; with little mass, another spelling could change which answer wins."
    )
    paper: ClassVar[str] = (
        "Wiegreffe et al., 2023, arXiv:2305.14596; Holtzman et al., 2021, arXiv:2104.08315"
    )
    differs: ClassVar[str] = "an answer of several tokens counts by all of them"
    each_title: ClassVar[str] = "mass on first tokens"
    each_formula: ClassVar[str] = (
        "sum of p over the first tokens of all answers, in the distribution before this token"
    )
    formula: ClassVar[str] = (
        "after the last token: sum over answers y, with and without a leading space, of p(y | "
        "text); one that begins with another counts within it"
    )
    interval: ClassVar[str] = "none: nothing is sampled"
    null_formula: ClassVar[str] = "mass on the answers' first tokens before each token of the text"
    details: ClassVar["Mapping[str, str]"] = {
        "best": "number, from 0, of the likeliest answer in the list",
        "margin": "its probability less that of the second",
        "decided": "1 where margin > 1 - mass: no other spelling of an answer can change the "
        "winner; else 0",
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"states", "model"})

    choices: str = Field(
        "A, B, C, D", max_length=400, description="Valid answers, with commas between them."
    )

    def judge(self, passage: "Passage") -> "Judgement":
        """Return the mass after the text, and on first tokens before each of its tokens.

        Raises: ValueError if there are fewer than 2 answers.
        """
        import numpy as np
        import torch

        from tokenarium.backend.judging.judgement import Judgement, Null

        assert passage.loaded is not None
        assert passage.states is not None
        names = tuple(dict.fromkeys(c.strip() for c in self.choices.split(",") if c.strip()))
        if len(names) < 2:
            raise ValueError(
                f"choices={self.choices!r} names {len(names)} answers: give at least 2, with "
                "commas between them"
            )
        forms = self.forms(passage, names)
        masses = np.zeros(len(names))
        for ids, owner in forms.items():
            masses[owner] += np.exp(self._log_prob(passage, ids))
        first = torch.tensor(sorted({ids[0] for ids in forms}))
        before = passage.states[torch.as_tensor(passage.places - 1)]
        each = np.concatenate([self._mass(passage, part, first) for part in before.split(64)])
        order = np.argsort(-masses, kind="stable")
        mass, margin = float(masses.sum()), float(masses[order[0]] - masses[order[1]])
        return Judgement(
            each,
            mass,
            null=Null.of_draws(each, mass),
            details={
                "best": float(order[0]),
                "margin": margin,
                "decided": float(margin > 1 - mass),
            },
            notes=(f"Mass on answer choices: the likeliest answer is {names[order[0]]!r}",),
        )

    def forms(self, passage: "Passage", names: tuple[str, ...]) -> dict[tuple[int, ...], int]:
        """Return token ids of every form with the number of its answer; none begins another."""
        assert passage.loaded is not None
        tokenizer = passage.loaded.tokenizer
        found: dict[tuple[int, ...], int] = {}
        for number, name in enumerate(names):
            for form in (name, f" {name}"):
                ids = tuple(tokenizer(form, add_special_tokens=False)["input_ids"])
                if ids:
                    found.setdefault(ids, number)
        return {
            ids: owner
            for ids, owner in found.items()
            if not any(ids[:size] in found for size in range(1, len(ids)))
        }

    def _log_prob(self, passage: "Passage", ids: tuple[int, ...]) -> float:
        import torch

        assert passage.states is not None
        assert passage.loaded is not None
        states = passage.states[-1:]
        if len(ids) > 1:
            assert passage.read is not None
            states = passage.read([*passage.ids.tolist(), *ids[:-1]])[len(passage.ids) - 1 :]
        logs = torch.log_softmax(passage.loaded.unembed(states).float(), -1)
        return float(logs.gather(1, torch.tensor(ids)[:, None]).sum())

    def _mass(self, passage: "Passage", states: "Tensor", first: "Tensor") -> "Numbers":
        import torch

        assert passage.loaded is not None
        probs = torch.softmax(passage.loaded.unembed(states).float(), -1)
        found: Numbers = probs[:, first].sum(-1).double().numpy()
        return found
