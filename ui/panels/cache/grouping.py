"""How a policy found what it reads: how alike its layers are, its search, its clusters."""

from tokenarium.ui.components.clusters import clusters_html
from tokenarium.ui.figures.grouping import likeness_bars, search_tree
from tokenarium.ui.panels.cache.scene import CacheScene, shown_run
from tokenarium.ui.shell.panel import Values

FIGURES = {
    "cache_likeness": (
        "How alike neighbouring layers are",
        "The premise of sharing entries between layers. Below the dashed line it does not hold.",
    ),
    "cache_search": (
        "The search of one query",
        "Every row halves what the one above opened; the score is that of a range's middle token.",
    ),
}


def grouping(scene: CacheScene) -> Values:
    """Return a premise, the tree of a search and clusters in the text; empty where there is none.

    Args:
        scene: of whose chosen policy, layer, head and step they are.
    """
    run, now = shown_run(scene), scene.chosen
    return {
        "cache_likeness": scene.drawn(likeness_bars(run)),
        "cache_search": scene.drawn(search_tree(run, now.step, now.layer, now.head)),
        "cache_clusters": clusters_html(run, now.step, now.layer, now.head),
    }
