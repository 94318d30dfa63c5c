"""Sampling, with the steps that change the distribution shown one by one."""

from typing import TYPE_CHECKING

from tokenarium.backend.decoding.strategy import SampledStrategy, Strategy

if TYPE_CHECKING:
    from tokenarium.backend.decoding.lane import Lane


class Sampling(SampledStrategy):
    """Plain decoding by chance."""

    slug = "sampling"
    title = "Sampling"
    explanation = "Draws every token from the model's distribution, after temperature and cuts."
    paper = (
        "top-k: Fan et al., 2018, arXiv:1805.04833; top-p: Holtzman et al., 2019, "
        "arXiv:1904.09751; typical: Meister et al., 2022, arXiv:2202.00666; min-p: Nguyen et al., "
        "2024, arXiv:2407.01082; top-n-sigma: Tang et al., 2024, arXiv:2411.07641"
    )

    @property
    def is_plain(self) -> bool:
        """It is."""
        return True

    def plain(self) -> Strategy:
        """Return itself."""
        return self

    def step(self, lane: "Lane") -> None:
        """Draw by the number of this step, so that lanes of one seed stay comparable."""
        lane.take(lane.drawn())
