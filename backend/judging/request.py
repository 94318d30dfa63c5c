"""The request to judge a text."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator, model_validator

from tokenarium.backend.judging.measure import Measure
from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.method_spec import MethodSpec
from tokenarium.backend.runs.request import MOST_CHARACTERS, TextRequest

TokenId = Annotated[int, Field(ge=0)]


class MeasureSpec(MethodSpec[Measure]):
    """A measure by its slug, with parameters: ``MeasureSpec("min_k", share=0.1)``."""

    family: ClassVar[type[Method]] = Measure

    @property
    def measure(self) -> Measure:
        """The measure with its parameters."""
        return self.method


class JudgeRequest(TextRequest):
    """Read a text once and measure its tokens, each measure beside what chance would give.

    ``run=`` takes a finished run in place of model and text: what it generated is then judged, as
    ``lab.request(JudgeRequest, run=lab.open(run_id))``, or all of its text where it generated none.
    """

    kind: ClassVar[str] = "judge"

    measures: tuple[MeasureSpec, ...] = Field(
        ("min_k", "min_k_plus", "lastde", "window_entropy", "lp_reg", "repetition"),
        min_length=1,
        max_length=32,
        validate_default=True,
        description="Measures, each with its parameters.",
    )
    continuation: tuple[TokenId, ...] = Field(
        (),
        max_length=MOST_CHARACTERS,
        description="Ids of tokens that follow the text, such as those a model generated after it; "
        "only these are judged.",
    )
    first: int = Field(
        0, ge=0, description="Tokens of the text that are read and not judged, from its start."
    )

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """The measures."""
        return {"measure": tuple(dict.fromkeys(spec.slug for spec in self.measures))}

    @model_validator(mode="before")
    @classmethod
    def _of_a_run(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "run" not in values:
            return values
        given = dict(values)
        run = given.pop("run")
        asked = getattr(run, "request", None)
        if not isinstance(asked, TextRequest):
            raise ValueError(
                f"run={str(run)[:60]!r} is no run about a text: give one that lab.open(run_id) "
                "returns, or model and text"
            )
        fields = {name: getattr(asked, name) for name in TextRequest.model_fields}
        return {**fields, "continuation": generated(run.result), **given}

    @field_validator("measures", mode="before")
    @classmethod
    def _slugs_too(cls, measures: Any) -> Any:
        if not isinstance(measures, list | tuple):
            return measures
        return tuple(MeasureSpec(slug=m) if isinstance(m, str) else m for m in measures)

    @field_validator("measures")
    @classmethod
    def _each_once(cls, measures: tuple[MeasureSpec, ...]) -> tuple[MeasureSpec, ...]:
        slugs = [spec.slug for spec in measures]
        for slug in slugs:
            if slugs.count(slug) > 1:
                raise ValueError(f"measures has {slug} twice: leave one out")
        return measures


def generated(result: Any) -> tuple[int, ...]:
    """Return the ids that a run generated after its prompt, its first lane's where it has several;
    none for a run that only reads."""
    if getattr(result, "prompt_ids", None) is None:
        return ()
    lanes = getattr(result, "lanes", ())
    ids = lanes[0].token_ids if lanes else result.token_ids
    first = ids[0] if ids.ndim > 1 else ids
    return tuple(int(key) for key in first if key >= 0)
