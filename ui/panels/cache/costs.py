"""What every policy takes and costs, step by step."""

from tokenarium.ui.figures.eviction import bytes_line, cost_line, lost_line, time_line
from tokenarium.ui.panels.cache.scene import CacheScene
from tokenarium.ui.shell.panel import Panel, Values

FIGURES = {
    "cache_bytes": ("Memory", "Bytes of the storage, counted, not computed."),
    "cache_time": ("Time", "Wall time of every step, without the full model's beside it."),
    "cache_kl": ("Cost", "How far the prediction moves from the full cache's."),
    "cache_lost": ("What is missed", "The full model's attention to tokens that are gone."),
}


class Costs(Panel):
    """Bytes, time, divergence and attention lost; nothing that is chosen changes them."""

    slug = "costs"

    def build(self) -> None:
        """Make the four figures."""
        self.figures(FIGURES)

    def draw(self, scene: CacheScene) -> Values:
        """Return every line."""
        result = scene.result
        return {
            "cache_bytes": scene.drawn(bytes_line(result)),
            "cache_time": scene.drawn(time_line(result)),
            "cache_kl": scene.drawn(cost_line(result)),
            "cache_lost": scene.drawn(lost_line(result)),
        }
