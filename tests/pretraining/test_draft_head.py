"""The recipe of the draft head on a tiny random Llama: every number has a second way to it."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.pretraining.conftest import END, PROMPTS, VOCABULARY, head_of, store_of
from tokenarium.backend.pretraining.draft_head import evaluation, self_play
from tokenarium.backend.pretraining.draft_head.loss import Weighing, unrolled_loss
from tokenarium.backend.pretraining.draft_head.start import closed_form, ridge
from tokenarium.backend.pretraining.draft_head.store import reduced_vocabulary
from tokenarium.backend.pretraining.draft_head.target import Target


def test_target_reads_as_transformers_does(model, target):
    ids = torch.randint(0, VOCABULARY, (3, 11))
    expected = model.model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(target.read(ids), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        target.logits(target.read(ids)), model(input_ids=ids).logits, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("own_positions", [False, True])
def test_steps_over_a_cache_read_the_same(target, own_positions):
    ids = torch.randint(0, VOCABULARY, (3, 9))
    cache = target.new_cache(3, 12)
    target.read(ids[:, :5], cache)
    for place in range(5, 9):
        position = torch.full((3,), place) if own_positions else place
        found = target.step(ids[:, place], cache, position)
        expected = target.read(ids[:, : place + 1])[:, -1]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_target_refuses_what_it_does_not_read(model, target):
    config = model.config.to_dict()
    with pytest.raises(ValueError, match="model_type='gpt2'"):
        Target({**config, "model_type": "gpt2"}, model.state_dict())
    with pytest.raises(ValueError, match="rope_type='yarn'"):
        Target({**config, "rope_parameters": {"rope_type": "yarn"}}, model.state_dict())


def test_answers_of_unlike_prompts_equal_greedy_ones(model, target):
    prompts = [[1, 5, 6], [1, 4, 3, 9, 10, 11], [7]]
    for prompt, found in zip(prompts, self_play.answer(target, prompts, 8, END), strict=True):
        text = list(prompt)
        for _ in range(8):
            text.append(int(model(input_ids=torch.tensor([text])).logits[0, -1].argmax()))
            if text[-1] == END:
                break
        assert found == text[len(prompt) :]


def test_pick_is_greedy_at_zero_and_leaves_out_the_unlikely():
    logits = torch.tensor([[0.0, 2.0, 1.9, -5.0]]).repeat(4000, 1)
    generator = torch.Generator().manual_seed(0)
    assert (self_play.pick(logits, torch.zeros(4000), 0.05, generator) == 1).all()
    drawn = self_play.pick(logits, torch.ones(4000), 0.3, generator)
    share = torch.bincount(drawn, minlength=4) / 4000
    kept = torch.tensor([0.0, 2.0, 1.9, -5.0]).exp() * torch.tensor([0.0, 1.0, 1.0, 0.0])
    torch.testing.assert_close(share, kept / kept.sum(), atol=0.03, rtol=0)


def test_chats_take_turns_within_their_limits(target):
    settings = self_play.Settings(opened=1.0, user_tokens=4, answer_tokens=6)
    ids, mode = self_play.play(target, PROMPTS, 16, 60, 5, settings)
    assert (ids[:, :3] == torch.tensor([1, 5, 6])).all()
    assert {tuple(row[3:5].tolist()) for row in ids} == {(11, 12), (13, 14)}
    for row, writer in zip(ids.tolist(), mode.tolist(), strict=True):
        ends = [place for place, token in enumerate(row) if token == END and place < 55]
        for turn, place in enumerate(ends):
            between = PROMPTS.to_user if turn % 2 else PROMPTS.to_assistant
            assert row[place + 1 : place + 5] == between
            assert writer[place + 1 : place + 5] == [self_play.FORCED] * 4
        spoken = np.diff([2, *ends]) - 1
        assert (spoken[1::2] <= 6 + 4).all()
        written = {writer[place] for place in range(ends[0] + 5, ends[1])}
        assert written <= {self_play.ASSISTANT}
    again, _ = self_play.play(target, PROMPTS, 16, 60, 5, settings)
    assert (again == ids).all()


def test_greedy_rows_are_what_the_target_would_say(target):
    settings = self_play.Settings(opened=0.0, greedy=1.0)
    ids, mode = self_play.play(target, PROMPTS, 8, 40, 1, settings)
    best = target.logits(target.read(ids)).argmax(-1)
    said = (mode == self_play.ASSISTANT)[:, 1:]
    assert said.any()
    assert (best[:, :-1][said] == ids[:, 1:][said]).all()


def test_ridge_recovers_a_linear_map():
    torch.manual_seed(0)
    x, weight = torch.randn(400, 12), torch.randn(5, 12)
    found = ridge([(x[:100], x[:100] @ weight.mT), (x[100:], x[100:] @ weight.mT)], 1e-9)
    torch.testing.assert_close(found, weight.double(), atol=1e-4, rtol=0)


def test_closed_form_guesses_a_linear_world_without_error(target):
    """Hidden states that follow from the one before and the token by a fixed map are guessed."""
    head, gain = head_of(target), target.norm
    torch.manual_seed(1)
    weight, ids = torch.randn(32, 64) / 8, torch.randint(0, VOCABULARY, (20, 30))
    embedded = functional.embedding(ids, target.embedding)
    states = [torch.randn(20, 32) * gain]
    with torch.no_grad():
        for place in range(1, 30):
            inputs = head.inputs(states[-1], embedded[:, place])
            states.append(functional.rms_norm(inputs @ weight.mT, (32,), gain, target.eps))
        hidden = torch.stack(states, 1)
        scaled = hidden / gain  # of unit size: only the direction of the map can be found
        closed_form(head, target, [(ids[:10], hidden[:10]), (ids[10:], hidden[10:])], 1e-6)
        guess = head.unroll(hidden[:, :-1], embedded[:, 1:], 1)[0] / gain
    near = functional.cosine_similarity(guess, scaled[:, 1:], dim=-1)
    assert float(near.mean()) > 0.98


def test_unrolled_guesses_equal_a_chain_run_one_by_one(target):
    """At every round the head reads target states, then its own guesses, keys kept."""
    head, ids = head_of(target), torch.randint(0, VOCABULARY, (1, 9))
    hidden = target.read(ids)
    embedded = functional.embedding(ids[:, 1:], target.embedding)
    with torch.no_grad():
        found = head.unroll(hidden[:, :-1], embedded, 3)
        for last in range(2, 8):
            features = hidden[:, : last - 1]  # a round whose chain has read `last - 1` states
            for step in range(3):
                reach = last - 1 + step
                if reach > 8:
                    break
                chain = head.unroll(features, embedded[:, :reach], 1)[0][:, -1]
                torch.testing.assert_close(found[step][:, reach - 1], chain, atol=1e-5, rtol=1e-5)
                features = torch.cat([features, chain[:, None]], 1)


def test_unrolled_loss_falls_and_counts_no_prefix(target, tmp_path):
    store = store_of(tmp_path, target)
    store.add()
    head, rows = head_of(target), target.unembedding[:20]
    optimiser = torch.optim.AdamW(head.parameters(), lr=3e-3)

    def loss(skip: int = 3) -> torch.Tensor:
        batch = store.ids[0], store.mode[0], store.hidden[0]
        options = {"steps": 3, "skip": skip, "generator": torch.Generator().manual_seed(0)}
        return unrolled_loss(
            head, *batch, target.embedding, rows, **options, weighing=Weighing(share=1.0)
        )[0]

    before = float(loss().detach())
    for _ in range(40):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    after = float(loss().detach())
    assert after < 0.8 * before
    store.hidden[0] = store.hidden[0].clone()
    store.hidden[0][:, 29] = 100.0  # the last state has no token after it: nothing is scored there
    assert float(loss().detach()) == pytest.approx(after)
    assert float(loss(skip=8).detach()) != float(loss().detach())


def test_loss_of_one_guess_equals_its_formula(target):
    """One row, every position scored: written out in logs of softmax."""
    head, ids = head_of(target), torch.randint(0, VOCABULARY, (1, 7))
    hidden, rows = target.read(ids).clone(), target.unembedding[5:25]
    weighing = Weighing(user=0.0, forced=0.5, share=1.1, hidden=0.3, teacher_tokens=20)
    mode = torch.tensor([[0, 0, 0, 1, 2, 0, 2]])
    options = {"steps": 1, "skip": 2, "generator": torch.Generator(), "weighing": weighing}
    with torch.no_grad():
        found, parts = unrolled_loss(head, ids, mode, hidden, target.embedding, rows, **options)
        embedded = functional.embedding(ids[:, 1:], target.embedding)
        guess = head.unroll(hidden[:, :-1], embedded, 1)[0]
        places, weights = [0, 2, 3, 4], torch.tensor([0.5, 1.0, 0.5, 1.0])  # of tokens 2, 4, 5, 6
        wanted, given = hidden[0, 1:][places], guess[0][places]
        logs = (given @ rows.mT).log_softmax(-1)
        crossed = -((wanted @ rows.mT).softmax(-1) * logs).sum(-1)
        expected = (crossed * weights).sum() / 3.0 + 0.3 * functional.smooth_l1_loss(given, wanted)
    assert parts == pytest.approx([float(found)])
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_vocabulary_is_what_the_target_wrote_most(target, tmp_path):
    store = store_of(tmp_path, target)
    store.add()
    store.ids[0][:], store.mode[0][:] = 30, self_play.ASSISTANT
    store.ids[0][0, :5], store.ids[0][1:3, :] = 4, 33
    store.mode[0][1:3] = self_play.FORCED
    assert reduced_vocabulary(store, 3).tolist() == [0, 4, 30]
    with pytest.raises(ValueError, match=r"vocabulary=41 is outside 1\.\.40"):
        reduced_vocabulary(store, 41)


def test_copies_follow_the_worked_example():
    assert evaluation.copies([1, 2, 3, 4, 2, 3], 3, 3)[-1] == [4, 2, 3]
    assert evaluation.copies([5, 5], 3, 3)[-1] == [5, 5, 5]
    assert evaluation.copies([1, 2, 3], 3, 3) == [[], [], []]


def test_copies_equal_the_prompt_lookup_drafter():
    from tokenarium.backend.speculation.drafters.prompt_lookup import _Index

    ids = np.random.default_rng(0).integers(0, 6, 80).tolist()
    found, index = evaluation.copies(ids, 3, 4), _Index(3, first=False)
    for place in range(1, len(ids)):
        text = ids[: place + 1]
        index.learn(text)
        size, start = index.find(text)
        expected = text[start : start + 4] if size else []
        while size and len(expected) < 4:
            expected.append(expected[len(expected) - (len(text) - start)])
        assert found[place] == expected


def test_rounds_jump_over_what_was_accepted():
    ids = [9, 1, 2, 3, 4, 5, 6, 7]  # one prompt token; 1 is known when the first round begins
    guessed = np.full((2, 8), -1)
    guessed[:, 1], guessed[:, 4], guessed[:, 6] = [2, 3], [5, 0], [0, 7]
    found = evaluation.rounds(1, ids, "head", guessed, [[]] * 8)
    assert found.accepted.tolist() == [2, 1, 0]  # from 1 to 4, from 4 to 6, from 6 to 7
    assert found.tokens == 6
    copied = [[]] * 8
    copied[4] = [5, 6]
    both = evaluation.rounds(1, ids, "lookup_else_head", guessed, copied)
    assert both.accepted.tolist() == [2, 2]
    alone = evaluation.rounds(1, ids, "lookup", guessed, copied)
    assert (alone.accepted.tolist(), alone.guessed.tolist()) == ([0, 0, 0, 2], [0, 0, 0, 2])


def test_positions_count_a_guess_only_behind_right_ones():
    guessed = np.asarray([[0, 2, 3, 9, 0, 0], [0, 3, 9, 5, 0, 0]])
    reached, matched = evaluation.by_position(guessed, [1, 1, 2, 3, 4, 5], 1)
    # places 1 to 3: firsts 2 and 3 right, 9 wrong; seconds 3 right, 9 wrong, 5 right too late
    assert (reached.tolist(), matched.tolist()) == ([3, 2], [2, 1])


def test_guesses_are_those_of_the_unrolled_head(target):
    head, ids = head_of(target), [1, 5, 6, 11, 12, 3, 4]
    vocabulary = torch.arange(5, 25)
    hidden = target.read(torch.tensor([ids]))
    found = evaluation.guesses(head, target, vocabulary, ids, hidden[0], 2)
    with torch.no_grad():
        for place in range(1, 5):
            known = functional.embedding(torch.tensor([ids[1 : place + 2]]), target.embedding)
            states = hidden[:, :place]
            for step in range(2):
                state = head.unroll(states, known[:, : place + step], 1)[0][:, -1:]
                logits = target.unembedding[5:25] @ state[0, 0]
                assert found[step, place] == 5 + int(logits.argmax())
                states = torch.cat([states, state], 1)
