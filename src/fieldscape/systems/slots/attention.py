"""Slots that look at points: attention in which slots compete for each point, a few rounds of it.

As in Locatello et al., "Object-Centric Learning with Slot Attention", 2020: the softmax goes over slots, so that each
point is shared out among them; a slot takes the mean of what its points say and is updated by a gated recurrent unit
and a perceptron. Four things are different: points beyond a slot's reach count less (its middle moves to what it
attends), slots that do not exist attract nothing (the logarithm of their existence is added), slots see one another in
each round, and one more query, of the background, takes what belongs to none and is then dropped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from fieldscape.systems.slots.seeds import ABSENT

NEVER = -30.0
"""What is added to the attention of slots that are not there."""


@dataclass(frozen=True)
class Look:
    """How slots share the points after a round. logs: logarithms of the shares of slots and, last, of the background.
    existence: logits."""

    logs: Float[Tensor, "b c n"]
    existence: Float[Tensor, "b s"]

    @property
    def shares(self) -> Float[Tensor, "b s n"]:
        """Each point's share of each slot; the background has what is missing to 1."""
        return self.logs[:, :-1].exp()


class SlotAttention(nn.Module):
    """Rounds of looking; the same weights in each."""

    def __init__(self, channels: int, rounds: int, heads: int = 4) -> None:
        super().__init__()
        self.rounds = rounds
        self.to_keys = nn.Linear(channels, channels, bias=False)
        self.to_values = nn.Linear(channels, channels, bias=False)
        self.to_queries = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, channels, bias=False))
        self.background = nn.Parameter(torch.zeros(channels))
        # Of the background, and of a slot for the points of its own segment; then the logarithm of a reach in metres.
        self.plain = nn.Parameter(torch.tensor(-2.0))
        self.own = nn.Parameter(torch.tensor(4.0))
        self.reach = nn.Parameter(torch.tensor(0.0))
        self.among = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.among_norm = nn.LayerNorm(channels)
        self.gate = nn.GRUCell(channels, channels)
        self.think = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )
        self.to_existence = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, 1))

    def forward(
        self,
        slots: Float[Tensor, "b s c"],
        middles: Float[Tensor, "b s 3"],
        known: Float[Tensor, "b n c"],
        points: Float[Tensor, "b n 3"],
        weights: Float[Tensor, "b n"],
        present: Bool[Tensor, "b s"],
        owner: Int[Tensor, "b n"],
    ) -> tuple[Float[Tensor, "b s c"], list[Look]]:
        """The slots in the end, and how they shared the points in each round and after the last.

        middles: where the slots begin, metres.  known: what is known of each point.  present, owner: as in ``Views``.
        """
        keys, values = self.to_keys(known), self.to_values(known)
        own = owner[:, None] == torch.arange(slots.shape[1])[None, :, None]
        plain = keys @ self.background / math.sqrt(keys.shape[-1]) + self.plain
        alone = ~present & present.any(-1, keepdim=True)  # slots that the others must not see
        looks = []
        for turn in range(self.rounds + 1):
            existence = torch.where(present, self.to_existence(slots)[..., 0], ABSENT)
            logits = self.to_queries(slots) @ keys.mT / math.sqrt(keys.shape[-1])
            # Not cdist, whose gradient has no value where a point is a middle.
            apart = (points[:, None] - middles[:, :, None]).square().sum(-1)
            # Far away the price grows with the distance alone: a slot that is far off can still be drawn near.
            logits = logits - 2 * ((1 + apart * torch.exp(-2 * self.reach)).sqrt() - 1) + self.own * own
            logits = logits + logsigmoid(existence)[..., None] + NEVER * ~present[..., None]
            look = Look(torch.cat([logits, plain[:, None]], 1).log_softmax(1), existence)
            looks.append(look)
            if turn == self.rounds:
                break
            part = look.shares * weights[:, None]
            # The seed keeps a little weight: who attends to nothing stays where it is.
            mass = part.sum(-1, keepdim=True) + 1e-4
            middles = (part @ points + 1e-4 * middles) / mass
            heard = (part @ values) / mass
            slots = self.gate(heard.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
            slots = slots + self.think(slots)
            calm = self.among_norm(slots)
            slots = slots + self.among(calm, calm, calm, key_padding_mask=alone, need_weights=False)[0]
        return slots, looks
