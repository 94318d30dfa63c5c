"""The request for a sweep."""

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator

from tokenarium.backend.benchmark.task import Task
from tokenarium.backend.cache.request import PolicySpec, policy_spec
from tokenarium.backend.runs.message import Message
from tokenarium.backend.runs.request import MOST_MESSAGES, ModelRequest, TextRequest, stored_form

Share = Annotated[float, Field(gt=0, le=1)]
Depth = Annotated[float, Field(ge=0, le=1)]
Prompt = Annotated[str, Field(min_length=1, max_length=200_000)]
Turns = Annotated[tuple[Message, ...], Field(min_length=1, max_length=MOST_MESSAGES)]


class SweepRequest(ModelRequest):
    """Try policies at several budgets, on a task with an answer or on prompts."""

    kind: ClassVar[str] = "sweep"

    task: str = Field("", description="Name of the task, such as passkey; empty with prompts.")
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Parameters of the task by name; what is left out takes its default.",
    )
    prompts: tuple[Prompt | Turns, ...] = Field(
        (),
        max_length=64,
        description="Texts to continue instead of a task, each a text or a list of messages; the "
        "full cache's own continuation is the answer.",
    )
    policies: tuple[PolicySpec, ...] = Field(
        min_length=1, max_length=32, description="Policies to try; the full cache is always added."
    )
    budgets: tuple[Share, ...] = Field(
        (0.5, 0.25, 0.1), min_length=1, max_length=16, description="Shares of the prompt to keep."
    )
    depths: tuple[Depth, ...] = Field(
        (0.1, 0.5, 0.9),
        min_length=1,
        max_length=16,
        description="Where what is asked for stands: 0 at the start, 1 before the question.",
    )
    length: int = Field(512, ge=8, le=1_000_000, description="Tokens of each prompt of a task.")
    trials: int = Field(10, ge=1, le=1000, description="Exercises for each point of the grid.")
    max_new_tokens: int = Field(
        32, ge=1, le=4096, description="Most tokens by which given prompts are continued."
    )
    query_aware: bool = Field(
        True,
        title="Question known",
        description="Whether the question is part of the prompt when entries are dropped; "
        "otherwise it is read afterwards.",
    )
    chat_template: bool | None = Field(
        None,
        title="Asked in a conversation",
        description="Whether a task is asked in the turns of the model's chat template, the answer "
        "begun in the assistant's turn; None does so where the model has a template.",
        json_schema_extra={"since": 2},
    )
    exceed_context: bool = Field(
        False, description="Read past the trained context, where positions allow it."
    )

    @property
    def past_context(self) -> bool:
        """Only where asked for."""
        return self.exceed_context

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """The policies, and the task where there is one."""
        slugs = (slug for spec in self.policies for slug in spec.slugs)
        policies = tuple(dict.fromkeys(slugs))
        return {"policy": policies, **({"task": (self.task,)} if self.task else {})}

    @property
    def texts(self) -> tuple[TextRequest, ...]:
        """The prompts, as what a model is asked to read."""
        return tuple(
            TextRequest(model=self.model, **{field: prompt})
            for prompt in self.prompts
            for field in ("text" if isinstance(prompt, str) else "messages",)
        )

    @property
    def rendered(self) -> tuple[TextRequest, ...]:
        """The prompts that are messages."""
        return tuple(text for text in self.texts if text.messages)

    @property
    def chosen_task(self) -> Task | None:
        """The task with its parameters; None where prompts are given."""
        return Task.registry.find(self.task).model_validate(self.parameters) if self.task else None

    @property
    def tried(self) -> tuple[PolicySpec, ...]:
        """The full cache first, then the policies asked for."""
        full = PolicySpec(slug="full")
        return (full, *(spec for spec in self.policies if spec.slugs != full.slugs))

    def point(self, policy: int, ratio: float, depth: float | None) -> "PointRequest":
        """Return the request for one point of the grid: its first exercise, step by step.

        Args:
            policy: its number among ``tried``.
            ratio: share of the prompt that may be kept.
            depth: where what is asked for stands; None where that has no meaning.
        """
        values = self.model_dump(exclude={"policies", "budgets", "depths", "trials", "prompts"})
        return PointRequest(
            **values,
            prompts=self.prompts[:1],
            policies=(self.tried[policy],),
            budgets=(ratio,),
            depths=(0.0 if depth is None else depth,),
            trials=1,
        )

    @field_validator("policies", mode="before")
    @classmethod
    def _slugs_too(cls, policies: Any) -> Any:
        if not isinstance(policies, list | tuple):
            return policies
        return tuple(map(policy_spec, policies))

    @field_validator("policies", "budgets", "depths")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if twice := [value for number, value in enumerate(values) if value in values[:number]]:
            raise ValueError(f"{twice[0]} is there twice: leave one out")
        return values

    @model_validator(mode="after")
    def _task_or_prompts(self) -> Self:
        """Fill in the defaults of the task, so that the same question has the same key."""
        if bool(self.task) == bool(self.prompts):
            raise ValueError(
                f"task={self.task!r} and {len(self.prompts)} prompts: give a task, or prompts"
            )
        if not self.task and self.parameters:
            raise ValueError(f"parameters={self.parameters} belong to a task: leave them out")
        try:
            full = stored_form(self.chosen_task) if self.chosen_task else {}
        except ValidationError as error:
            from tokenarium.backend.errors import in_words

            raise ValueError(str(in_words(error))) from error
        self.parameters.clear()
        self.parameters.update(full)
        return self


class PointRequest(SweepRequest):
    """One point of a sweep, its first exercise followed step by step."""

    kind: ClassVar[str] = "point"

    @property
    def given_text(self) -> str:
        """The prompt, where one was given; of a conversation, what its turns say."""
        first = self.prompts[0] if self.prompts else ""
        return first if isinstance(first, str) else "\n".join(turn.content for turn in first)
