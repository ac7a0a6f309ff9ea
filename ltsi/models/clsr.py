"""CLSR: a long and a short interest that are held apart by what each must resemble.

Shape suffixes: B histories, L positions, D width, N real positions of a batch.
Source: Zheng et al. 2022, "Disentangling Long and Short-Term Interests for Recommendation" (CLSR), section 3, with the
form of its contrast that is like BPR.

Departures: its nets see the item that is scored; here one state is compared with the whole catalogue, so they go by the
user alone. The short attention, whose query moves on with every event, is a product of query and event: a net for each
pair of positions would need the square of the length times the width. Both interests are normalised, and brought to
the length of an item vector for the contrast. The authors' code also rewards a distance between the two vectors of a
user (weight 0.01), and its short encoder is a time LSTM unless told otherwise; here it is a GRU (`model/encoder`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ltsi.histories import Histories, TrainingBatch
from ltsi.losses.next_item import NextItemLoss
from ltsi.models.items import Items
from ltsi.models.network import Encoder, SequenceNetwork
from ltsi.models.pair_score import PairScore
from ltsi.models.scan import running_attention
from ltsi.models.users import UserVectors
from ltsi.sequences.split import Split


class Clsr(SequenceNetwork):
    """`α · long + (1 − α) · short`, and a loss that pulls each of the two to its proxy and off the other's.

    The long interest is attention over all items of the history by a query learned for the user. The short one is
    attention over an encoder's states by a query that begins at another vector of the user and runs along with the
    events (a GRU). `α` comes from a second GRU and both interests. The proxy of the long interest is the mean of all
    items up to a position, that of the short one the mean of the last few.

    Args:
        items: the catalogue as vectors.
        short: its states are what the short interest is attended from.
        dim: width D.
        recent: events in the proxy of the short interest.
        contrast: weight of the contrast; zero: none.
        min_length: positions with fewer events have no contrast: there, both proxies are nearly the same.
        embedding_dropout: dropout on the embedded history.
        wait: see `SequenceNetwork`.
    """

    def __init__(
        self,
        items: Items,
        short: Encoder,
        dim: int,
        recent: int,
        contrast: float,
        min_length: int,
        embedding_dropout: float,
        wait: bool = False,
    ) -> None:
        super().__init__(items, embedding_dropout, wait)
        if not 1 <= recent < min_length:
            raise ValueError(f"recent={recent} must be at least 1 and below min_length={min_length}")
        if contrast < 0:
            raise ValueError(f"contrast={contrast} must not be negative")
        self.short, self.recent, self.contrast, self.min_length = short, recent, contrast, min_length
        self.long_users, self.short_users = UserVectors(dim), UserVectors(dim)
        self.long_score = PairScore(dim, dim)
        self.query, self.mix = nn.GRU(dim, dim, batch_first=True), nn.GRU(dim, dim, batch_first=True)
        self.short_key = nn.Linear(dim, dim, bias=False)
        self.share = nn.Sequential(nn.Linear(3 * dim, dim), nn.ReLU(), nn.Linear(dim, 1))
        self.long_norm, self.short_norm, self.norm = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)

    def fit_statistics(self, split: Split) -> None:
        """Makes room for the users and lets the encoder count; see `InterestModel.fit_statistics`."""
        super().fit_statistics(split)
        self.short.fit_statistics(split)
        self.long_users.make_room(split.store.n_users)
        self.short_users.make_room(split.store.n_users)

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`."""
        return self._views(histories)[0]

    def training_loss(self, batch: TrainingBatch, loss: NextItemLoss) -> Tensor:
        """Adds the contrast, weighted; a mean over targets, too. See `InterestModel.training_loss`."""
        groups = [group.histories for group in batch.groups]
        seen_NX = self.encoded(self._answers_and_views, groups)
        state_ND, long_ND, short_ND, all_ND, recent_ND, old_N1 = seen_NX.split([*[self.items.dim] * 5, 1], dim=1)
        old_N = (old_N1.squeeze(1) > 0) & (batch.real_targets() < self.items.n_items)
        apart_N = contrast(*(part_ND[old_N] for part_ND in (long_ND, short_ND, all_ND, recent_ND)))
        return self.loss_of(state_ND, batch, loss) + self.contrast * apart_N.sum() / batch.n_targets

    def _answers_and_views(self, histories: Histories) -> Tensor:
        """Returns, side by side, the answers, both interests, both proxies, and whether there is a contrast."""
        state_BLD, long_BLD, short_BLD, x_BLD = self._views(histories)
        answer_BLD = state_BLD if self.wait is None else self.wait(state_BLD, histories)
        count_L = torch.arange(1, x_BLD.shape[1] + 1, device=x_BLD.device)
        sum_BLD = x_BLD.float().cumsum(dim=1)
        before_BLD = functional.pad(sum_BLD, (0, 0, self.recent, 0))[:, : x_BLD.shape[1]]
        all_BLD = sum_BLD / count_L[:, None]
        recent_BLD = (sum_BLD - before_BLD) / count_L.clamp(max=self.recent)[:, None]
        old_BL1 = (count_L >= self.min_length).to(x_BLD.dtype).expand(len(x_BLD), -1)[..., None]
        # Item vectors have a norm of about one, views one of √D.
        scale = self.items.dim**-0.5
        return torch.cat([answer_BLD, scale * long_BLD, scale * short_BLD, all_BLD, recent_BLD, old_BL1], dim=2)

    def _views(self, histories: Histories) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns the state, the long and the short interest, normalised, and the embedded items, `(B, L, D)` each."""
        x_BLD = self.embedding_dropout(self.items(histories.item_BL))
        scaled_BLD = self.items.dim**0.5 * x_BLD
        logit_BL = self.long_score(scaled_BLD, self.long_users(histories))
        long_BLD = self.long_norm(running_attention(logit_BL, scaled_BLD))
        output_BLD = self.short(x_BLD, histories)
        query_BLD = self.query(x_BLD, self.short_users(histories)[None])[0]
        # With a head, torch needs no matrix of all pairs.
        q, k, v = (part_BLD[:, None].float() for part_BLD in (query_BLD, self.short_key(output_BLD), output_BLD))
        attended_BLD = functional.scaled_dot_product_attention(q, k, v, is_causal=True).squeeze(1)
        short_BLD = self.short_norm(attended_BLD)
        seen_BL3D = torch.cat([self.mix(x_BLD)[0], long_BLD, short_BLD], dim=2)
        share_BL1 = torch.sigmoid(self.share(seen_BL3D))
        return self.norm(share_BL1 * long_BLD + (1 - share_BL1) * short_BLD), long_BLD, short_BLD, x_BLD


def contrast(long_ND: Tensor, short_ND: Tensor, all_ND: Tensor, recent_ND: Tensor) -> Tensor:
    """Returns how far interests and proxies are from being told apart, `(N,)`.

    `f(l, p_l, p_s) + f(s, p_s, p_l) + f(p_l, l, s) + f(p_s, s, l)` with `f(a, own, other) = softplus(a·other − a·own)`:
    each interest shall be nearer to its own proxy than to the other's, and each proxy to its own interest.

    Args:
        long_ND: long interests `l`.
        short_ND: short interests `s`.
        all_ND: proxies of the long interests, `p_l`.
        recent_ND: proxies of the short interests, `p_s`.
    """
    triples = (
        (long_ND, all_ND, recent_ND),
        (short_ND, recent_ND, all_ND),
        (all_ND, long_ND, short_ND),
        (recent_ND, short_ND, long_ND),
    )
    return torch.stack([functional.softplus((a * (other - own)).sum(dim=1)) for a, own, other in triples]).sum(dim=0)
