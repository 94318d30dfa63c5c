"""What every task must declare and make, and what is particular to each."""

import itertools
import re
from pathlib import Path

import pytest

import tokenarium.backend.benchmark.tasks
from tokenarium.backend.benchmark.conversation import asks_in_turns, turns
from tokenarium.backend.benchmark.haystack import ask, haystack
from tokenarium.backend.benchmark.prose import sentences
from tokenarium.backend.benchmark.task import Task

TASKS = [kind for kind in Task.registry.all() if kind.__module__.startswith("tokenarium.backend.")]
EVERY = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.slug)
SENTENCE = re.compile(r"[A-Z].*\.", re.DOTALL)


@pytest.fixture(scope="session")
def loaded(twins):
    return twins("llama")[0]


def said(loaded, ids) -> str:
    return loaded.tokenizer.decode(ids)


def test_every_file_of_the_family_is_one_task() -> None:
    folder = Path(tokenarium.backend.benchmark.tasks.__path__[0])
    files = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert {task.__module__.rpartition(".")[2] for task in TASKS} == files
    assert {task.slug for task in TASKS} >= {"passkey", "needles", "copying", "perplexity"}


@EVERY
def test_it_declares_all_that_the_page_shows(task: type[Task]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", task.slug)
    assert task.title
    assert SENTENCE.fullmatch(task.explanation)
    assert re.search(r"\d{4}, arXiv:\d{4}\.\d{5}", task.source)
    for name, field in task.model_fields.items():
        assert SENTENCE.fullmatch(field.description or ""), name
        assert not field.is_required()
        assert field.annotation is not int or len(field.metadata) == 2, f"{name} is unbounded"


@EVERY
@pytest.mark.parametrize("length", [600, 601, 777, 1500])
def test_a_prompt_has_exactly_the_length_asked_for(loaded, task, length: int) -> None:
    for depth in (0.0, 0.3, 1.0):
        exercise = task().exercise(loaded, length, depth, 3)
        assert len(exercise.prompt) == length
        assert exercise.prompt[0] == loaded.tokenizer.bos_token_id
        assert exercise.answer
        assert exercise.answer[0] not in exercise.others
        assert 0 <= exercise.chance < 1


CHAT = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}</turn>"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def chatting(loaded, monkeypatch):
    monkeypatch.setattr(loaded.tokenizer, "chat_template", CHAT)
    return loaded


@pytest.mark.parametrize("task", [t for t in TASKS if t.in_chat], ids=lambda task: task.slug)
def test_a_conversation_holds_the_text_the_question_and_the_answer_begun(chatting, task) -> None:
    exercise, plain = (task().exercise(chatting, 900, 0.5, 3, chat=chat) for chat in (True, False))
    assert len(exercise.prompt) == 900
    text = said(chatting, exercise.prompt)
    user, assistant = text.removeprefix("<user>").split("</turn><assistant>")
    assert text.startswith("<user>")
    assert user.endswith("?")
    assert assistant.startswith("The ")
    assert assistant.rstrip().endswith((" is", " the"))
    assert (exercise.answer, exercise.others) == (plain.answer, plain.others)
    assert said(chatting, exercise.answer).strip() in user
    assert "</turn><assistant>" in said(chatting, exercise.question)


def test_turns_are_the_default_where_the_model_has_a_template(chatting, monkeypatch) -> None:
    assert asks_in_turns(chatting, None, in_chat=True)
    assert not asks_in_turns(chatting, None, in_chat=False)
    assert not asks_in_turns(chatting, False, in_chat=True)
    with pytest.raises(ValueError, match="no question that could be asked in a conversation"):
        asks_in_turns(chatting, True, in_chat=False)
    monkeypatch.setattr(chatting.tokenizer, "chat_template", None)
    assert not asks_in_turns(chatting, None, in_chat=True)
    with pytest.raises(ValueError, match="has none: set chat_template=False"):
        turns(chatting)
    monkeypatch.setattr(chatting.tokenizer, "chat_template", "{{ messages[0]['content'][1:] }}")
    with pytest.raises(ValueError, match="rewrites the text"):
        turns(chatting)


@EVERY
def test_the_seed_decides_and_the_depth_changes_no_answer(loaded, task) -> None:
    make = task().exercise
    assert make(loaded, 700, 0.5, 1) == make(loaded, 700, 0.5, 1)
    assert make(loaded, 700, 0.5, 1) != make(loaded, 700, 0.5, 2)
    if task.has_depth:
        shallow, deep = make(loaded, 700, 0.0, 1), make(loaded, 700, 1.0, 1)
        assert (shallow.question, shallow.answer) == (deep.question, deep.answer)
        assert shallow.context != deep.context


@pytest.mark.parametrize("slug", ["passkey", "needles", "needle_threading", "copying"])
def test_a_prompt_too_short_is_refused_with_what_would_fit(loaded, slug: str) -> None:
    task = Task.registry.find(slug)()
    with pytest.raises(ValueError, match=r"length=.* raise length to at least \d+") as told:
        task.exercise(loaded, 12, 0.5, 0)
    need = int(str(told.value).rpartition(" ")[2])
    # The length told is that of the context; the question comes on top.
    question = len(task.exercise(loaded, 2000, 0.5, 0).question)
    assert len(task.exercise(loaded, need + question, 0.5, 0).prompt) == need + question


@pytest.mark.parametrize(("depth", "low", "high"), [(0, 0, 0.02), (0.5, 0.4, 0.6), (1, 0.9, 1)])
def test_passkey_stands_once_at_its_depth(loaded, depth, low, high) -> None:
    exercise = Task.registry.find("passkey")(digits=7).exercise(loaded, 1500, depth, 5)
    text, number = said(loaded, exercise.context), said(loaded, exercise.answer)
    assert re.fullmatch(r"\d{7}", number.strip())
    assert text.count(number.strip()) == 1
    needle = f" The pass key is {number.strip()}. Remember the pass key."
    at = text.index(needle)
    assert low <= at / (len(text) - len(needle)) <= high
    assert said(loaded, exercise.question).rstrip() == " The pass key is"
    assert exercise.chance == pytest.approx(1e-7)


def test_needles_hold_the_answer_under_the_key_asked_for(loaded) -> None:
    exercise = Task.registry.find("needles")(keys=6, digits=3).exercise(loaded, 1500, 0.4, 2)
    found = dict(re.findall(r"The number of the (\w+) is (\d+)\.", said(loaded, exercise.context)))
    assert len(found) == 6
    assert len({number[0] for number in found.values()}) == 6
    key = re.search(r"of the (\w+) is", said(loaded, exercise.question))
    assert key is not None
    assert found[key[1]] == said(loaded, exercise.answer).strip()
    assert exercise.chance == pytest.approx(1 / 6)
    assert len(exercise.others) == 5


@pytest.mark.parametrize(("steps", "chains"), [(1, 0), (3, 2), (8, 8)])
def test_a_thread_leads_where_the_answer_says(loaded, steps: int, chains: int) -> None:
    task = Task.registry.find("needle_threading")(steps=steps, other_chains=chains)
    exercise = task.exercise(loaded, 6000, 0.2, 4)
    links = dict(
        re.findall(r"From the ([\w ]+) one enters the ([\w ]+)\.", said(loaded, exercise.context))
    )
    assert len(links) == steps * (chains + 1)
    asked = re.search(r"From the ([\w ]+) go on", said(loaded, exercise.question))
    assert asked is not None
    room = asked[1]
    for _ in range(steps):
        room = links[room]
    assert room not in links
    assert said(loaded, exercise.answer).strip() == room
    assert exercise.chance == pytest.approx(1 / ((steps + 1) * (chains + 1)))


def test_copying_shows_the_whole_pattern_once_and_begins_it_again(loaded) -> None:
    exercise = Task.registry.find("copying")(cue=5, expected=3).exercise(loaded, 400, 0.5, 6)
    pattern = exercise.question + exercise.answer
    assert len(set(pattern)) == 8
    starts = [at for at in range(len(exercise.context)) if exercise.context[at : at + 8] == pattern]
    assert len(starts) == 1
    with pytest.raises(ValueError, match=r"need 300 different tokens, local/llama has 262"):
        Task.registry.find("copying")(cue=200, expected=100).exercise(loaded, 1000, 0.5, 6)


def test_perplexity_reads_on_in_the_text_given(loaded) -> None:
    text = " ".join(str(number) for number in range(400))
    task = Task.registry.find("perplexity")(predicted=30, text=text)
    exercise = task.exercise(loaded, 50, 0, 1)
    assert len(exercise.answer) == 30
    whole = said(loaded, exercise.context[1:] + exercise.answer)
    assert whole in text
    assert task.exercise(loaded, 50, 0, 2) != exercise
    with pytest.raises(ValueError, match="give a longer text"):
        task.exercise(loaded, 5000, 0, 1)


def test_filler_is_whole_sentences_but_for_the_first(loaded) -> None:
    first = next(sentences(9))
    length = len(loaded.tokenizer(first)["input_ids"])  # BOS and the sentence
    assert said(loaded, haystack(loaded, length, [], 9)[1:]) == first
    text = said(loaded, haystack(loaded, 500, [], 9)[1:])
    assert text.endswith(".")
    again = [sentence for sentence, _ in zip(sentences(9), range(50), strict=False)]
    assert len(set(again)) > 45
    assert all(a != b for a, b in itertools.pairwise(again))


def test_a_space_that_is_a_token_belongs_to_the_question(loaded) -> None:
    # The tiny tokenizer spells every byte, but joins " w".
    question, answer, others = ask(loaded, " It is", " 12", [" 34", " 15", " 7"])
    assert said(loaded, question) == " It is "
    assert said(loaded, answer) == "12"
    assert sorted(said(loaded, [first]) for first in others) == ["3", "7"]
    joined = ask(loaded, " It is", " we")
    assert said(loaded, joined[1]) == " we"


def test_an_unknown_task_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="task='nap' is unknown: choose copying"):
        Task.registry.find("nap")
