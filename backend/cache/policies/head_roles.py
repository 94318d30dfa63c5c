"""Give heads that look things up the whole text, and the others a sink and a window."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tokenarium.backend.cache.role_policy import RolePolicy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tokenarium.backend.cache.head_roles import HeadRoles as Roles


class HeadRoles(RolePolicy):
    """Heads that find earlier copies keep everything; the others stream, as Duo-Attention's do."""

    slug: ClassVar[str] = "head_roles"
    title: ClassVar[str] = "Head roles"
    explanation: ClassVar[str] = (
        "Keeps the whole text in the heads that look up earlier copies of a token, and only its "
        "first and newest tokens in the others."
    )
    paper: ClassVar[str] = "Xiao et al. (DuoAttention), 2024, arXiv:2410.10819"
    differs: ClassVar[str] = (
        "roles are measured, where DuoAttention learns a gate for each head; as many heads keep "
        "everything as the budget allows; and what is read after the prompt stays in all heads"
    )

    measure: Literal["induction", "echo", "either"] = Field(
        "either",
        description="What makes a head look things up: attention to the token after an earlier "
        "copy, to the copy itself, or the larger of both.",
    )

    def scores_of_heads(self, roles: "Roles") -> "NDArray[np.float32]":
        """Return [L, G] the measure, of a KV head the largest of its query heads."""
        import numpy as np

        if self.measure != "either":
            return roles.of_groups(self.measure)
        found: NDArray[np.float32] = np.maximum(
            roles.of_groups("induction"), roles.of_groups("echo")
        )
        return found
