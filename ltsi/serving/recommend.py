"""From a model and a question to what a user should be shown.

Shape suffixes: B histories, I items, P recommended pairs of history and item.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ltsi.models.interest import InterestModel
from ltsi.serving.decay_aware import INTEREST, NO_STATE, DecayAware
from ltsi.serving.questions import Question, Questions
from ltsi.serving.ranking import Recommended, best

MODEL = "model"
"""Name of the part that the model adds, where its own score is of one piece."""


@dataclass(frozen=True)
class Answer:
    """What was recommended to the users of a question.

    Attributes:
        question: what was asked.
        recommended: the items.
        state_P: state of the user's interest in the category of each item, `NO_STATE` where it has none; None with the
            plain strategy.
    """

    question: Question
    recommended: Recommended
    state_P: NDArray[np.int8] | None = None


@dataclass(frozen=True)
class Recommender:
    """Recommends.

    Attributes:
        model: gives the scores.
        questions: gives the histories.
        k: items for each user.
        strategy: changes the scores by how interests stand; None: the model's own order, which evaluation ranks by.
    """

    model: InterestModel
    questions: Questions
    k: int
    strategy: DecayAware | None = None

    def of(self, users: NDArray[np.int64]) -> Iterator[Answer]:
        """Answers in batches, users with short histories first.

        Args:
            users: int64, indices.

        Raises:
            RunError: a score is NaN.
        """
        for question in self.questions.of(users):
            yield self._answer(question)

    @torch.no_grad()
    def _answer(self, question: Question) -> Answer:
        score_BI, parts = self.model.scores_and_parts(question.histories)
        score_BI[question.hidden_row, question.hidden_item] = -torch.inf
        if self.strategy is None:
            return Answer(question, best(score_BI, parts, self.k))
        interest_BI, state_BC = self.strategy.interest(score_BI, question.user_B)
        changed = {**(parts or {MODEL: score_BI}), INTEREST: interest_BI}
        found = best(score_BI + interest_BI, changed, self.k)
        category_P = self.strategy.category_I[found.item_P]
        state_P = np.where(category_P < 0, NO_STATE, state_BC[found.row_P, category_P])
        return Answer(question, found, state_P.astype(np.int8))
