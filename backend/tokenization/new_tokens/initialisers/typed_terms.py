"""Pieces mixed with the terms of one semantic type, chosen by the sentence: K-Tokeniser."""

from pydantic import Field

from tokenarium.backend.tokenization.new_tokens.initialiser import Initialiser, NewTokens, Rows

TYPES = {
    "drug": "aspirin insulin morphine penicillin antibiotic vaccine ibuprofen steroid tablet dose "
    "caffeine nicotine opioid antidepressant",
    "disease": "cancer diabetes asthma pneumonia malaria infection stroke arthritis influenza "
    "tumor epilepsy tuberculosis depression leukemia",
    "symptom": "pain fever cough nausea headache swelling fatigue rash dizziness bleeding vomiting "
    "itching weakness cramp",
    "body part": "heart lung liver kidney brain stomach skin bone muscle artery spine eye blood "
    "throat",
    "procedure": "surgery biopsy scan transplant injection transfusion screening dialysis "
    "chemotherapy vaccination amputation diagnosis therapy examination",
    "living thing": "fish algae bird insect tree grass whale plankton coral mushroom flower "
    "mammal weed shell",
    "science": "chemistry biology physics research experiment laboratory measurement hydrogen "
    "oxygen energy electricity scientist theory reaction",
    "place": "city village river ocean mountain street harbour island forest country coast road "
    "square valley",
}
"""Terms by semantic type, written for this program."""


class TypedTerms(Initialiser):
    """One of several rows for a token, one for each semantic type."""

    slug = "typed_terms"
    title = "Semantic type"
    explanation = (
        "Mixes the mean of the pieces with the mean of the terms of one semantic type (drug, "
        "disease, place, ...): the type whose terms are most like the sentences around it."
    )
    paper = "Hasan et al., 2024, arXiv:2406.14312"
    differs = (
        "eight types of fourteen terms in place of a clinical ontology; no training after it; a "
        "word has one type in a text, chosen by all sentences in which it stands; texts are "
        "compared by the mean of the model's own last states"
    )

    share: float = Field(
        0.3, ge=0, le=1, title="Share of the type", description="The rest is of the pieces."
    )

    def rows(self, new: NewTokens) -> Rows:
        """Return the mixed rows, of both tables, and the term most like the sentences around."""
        import torch
        from torch.nn.functional import normalize

        kinds = [[tuple(new.encode(f" {t}")) for t in words.split()] for words in TYPES.values()]
        every = [term for terms in kinds for term in terms]
        states = new.embed(
            [*every, *(c or p for c, p in zip(new.contexts, new.pieces, strict=True))]
        )
        # All states of a model lean to one side: what is common to terms says nothing of a type.
        states = states - states[: len(every)].mean(0)
        of_terms = normalize(states[: len(every)], dim=1).split([*map(len, kinds)])
        types = normalize(torch.stack([each.mean(0) for each in of_terms]), dim=1)
        found_in: list[torch.Tensor] = []
        found_out: list[torch.Tensor] = []
        near: list[tuple[int, ...]] = []
        for pieces, around in zip(new.pieces, states[len(every) :], strict=True):
            kind = int((types @ around).argmax())
            for table, found in ((new.table_in, found_in), (new.table_out, found_out)):
                terms = torch.stack([table[list(term)].mean(0) for term in kinds[kind]])
                own = table[list(pieces)].mean(0)
                found.append((1 - self.share) * own + self.share * terms.mean(0))
            near.append(kinds[kind][int((of_terms[kind] @ around).argmax())])
        return Rows(torch.stack(found_in), torch.stack(found_out), tuple(near))
