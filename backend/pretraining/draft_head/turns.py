"""Words a user begins with: self-play written from nothing alone repeats itself."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tokenarium.backend.pretraining.corpus import read_documents

BEGINNINGS = (
    "Write a short story about", "Write a poem about", "Write an email", "Write a Python function",
    "Write a blog post", "Write a letter to", "Explain", "Explain how", "Explain why",
    "What is", "What are the main", "What happens when", "What is the difference between",
    "Who", "Who was", "When did", "When was", "Where is", "Why do", "How do I", "How does",
    "How many", "How can", "Give me a list of", "List three", "Describe", "Describe a",
    "Imagine you are", "Pretend to be", "You are a", "Compare", "Draft a", "Can you", "Could you",
    "Summarize", "Translate German to English:", "Translate to French:", "Is it true that",
    "Solve", "If a", "A train", "Tom has", "Find the", "Calculate", "Which", "Suggest", "Help me",
    "Design a", "Create a", "Implement", "Fix this code:", "Extract the", "Classify",
    "Rewrite the following", "Edit the following paragraph", "Tell me about", "Discuss",
)  # fmt: skip


def questions(path: Path) -> Iterator[str]:
    """Questions of a file of ``Question: ...`` and ``Answer: ...`` paragraphs."""
    for text in "\n".join(read_documents(path)).split("\n\n"):
        if text.startswith("Question: "):
            yield text.removeprefix("Question: ").split("\nAnswer:")[0].strip()


def passages(path: Path, count: int, words: int = 170, seed: int = 0) -> Iterator[str]:
    """``count`` pieces of a file's documents, each with something to do about it."""
    documents = [text for text in read_documents(path) if len(text) > 20_000]
    drawn = np.random.default_rng(seed)
    for number in range(count if documents else 0):
        text = documents[drawn.integers(len(documents))]
        start = text.find(". ", int(drawn.integers(len(text) - 10_000))) + 2
        piece = " ".join(text[start : start + 5_000].split()[: int(drawn.integers(60, words))])
        yield (
            f"Summarize: {piece}",
            f"{piece}\n\nWhat is this passage about?",
            f"Rewrite this in simple words.\n\n{piece}",
        )[number % 3]


def translations(path: Path, languages: Sequence[str]) -> Iterator[str]:
    """Sentences of a JSON object of languages and texts, each to be put into English."""
    texts = json.loads(path.read_text("utf-8"))
    if missing := [language for language in languages if language not in texts]:
        raise ValueError(f"languages={missing} are not in {path.name}: choose from {list(texts)}")
    for language, text in ((name, texts[name]) for name in languages):
        for sentence in re.split(r"\n\s*", text):
            if 30 < len(sentence) < 400:
                yield f"Translate {language} to English: {sentence.strip()}"
