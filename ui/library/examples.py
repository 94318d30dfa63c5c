"""Questions to begin with, asked of all stored runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A query worth trying, and how its answer is drawn."""

    title: str
    sql: str
    chart: str
    x: str
    y: str
    colour: str = ""


_OF_RUNS = "JOIN runs ON run_id = id"
QUESTIONS = (
    Question(
        "The ten strongest sinks of all runs",
        "SELECT 'layer ' || layer || ', head ' || head AS place, model,\n"
        "       max(sink_score) AS strongest, arg_max(substr(text, 1, 40), sink_score) AS text\n"
        f"FROM head_metrics {_OF_RUNS}\n"
        "GROUP BY model, layer, head ORDER BY strongest DESC NULLS LAST LIMIT 10",
        *("bar", "place", "strongest", "model"),
    ),
    Question(
        "Mean surprisal by model",
        "SELECT model, avg(surprisal_nats) AS mean_surprisal_nats, count(*) AS tokens\n"
        f"FROM tokens {_OF_RUNS}\nGROUP BY model ORDER BY mean_surprisal_nats",
        *("bar", "model", "mean_surprisal_nats"),
    ),
    Question(
        "Entropy over the text, by model",
        "SELECT position, model, avg(entropy_nats) AS mean_entropy_nats\n"
        f"FROM tokens {_OF_RUNS}\nWHERE position < 100\n"
        "GROUP BY position, model ORDER BY model, position",
        *("line", "position", "mean_entropy_nats", "model"),
    ),
    Question(
        "Heads: sink score against how far they look",
        "SELECT layer, head, avg(sink_score) AS mean_sink_score,\n"
        "       avg(attention_distance) AS mean_distance_tokens, model\n"
        f"FROM head_metrics {_OF_RUNS}\nGROUP BY model, layer, head",
        *("scatter", "mean_distance_tokens", "mean_sink_score", "model"),
    ),
    Question(
        "Tokens that surprise most, seen twice or more",
        "SELECT token, avg(surprisal_nats) AS mean_surprisal_nats, count(*) AS seen\n"
        "FROM tokens\nWHERE surprisal_nats IS NOT NULL\n"
        "GROUP BY token HAVING count(*) > 1\nORDER BY mean_surprisal_nats DESC LIMIT 20",
        *("bar", "token", "mean_surprisal_nats"),
    ),
    Question(
        "How long runs take, by method",
        "SELECT method, family, median(duration_ms) AS median_ms, count(*) AS runs\n"
        f"FROM methods {_OF_RUNS}\nGROUP BY method, family ORDER BY median_ms DESC",
        *("bar", "method", "median_ms", "family"),
    ),
)
