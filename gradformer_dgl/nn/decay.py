"""Decays: what a pair's attention logit is multiplied by, as a table over distances.

A shortest-path distance takes few values, so the mask over all pairs is a small table, one row per
head and one column per distance, from which attention gathers. Anything with a method
``table(num_distances)`` can serve as a decay.
"""

import math
from collections.abc import Sequence
from typing import Any, SupportsFloat, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradformer_dgl.nn.registry import DECAYS
from gradformer_dgl.pairs.distances import with_minus_one
from gradformer_dgl.support.errors import ConfigError, GraphError


class Decay(nn.Module):
    """Base of decays: subclasses give the table, this class applies it to padded distances.

    Parameters
    ----------
    num_heads : int
        Rows of the table.

    Examples
    --------
    >>> class Inverse(Decay):
    ...     def table(self, num_distances):
    ...         row = 1 / (1 + torch.arange(num_distances + 1.0))
    ...         row[-1] = 0
    ...         return row.expand(self.num_heads, -1)
    >>> Inverse(num_heads=1).table(3).tolist()
    [[1.0, 0.5, 0.3333333432674408, 0.0]]
    """

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        if num_heads < 1:
            raise ConfigError(f"num_heads must be at least 1, but is {num_heads}")
        self.num_heads = num_heads

    def table(self, num_distances: int) -> Float[Tensor, "heads columns"]:
        """Return the factors for the distances 0 .. num_distances - 1 and, last, the unreachable."""
        raise ConfigError(f"{type(self).__name__} must define table(num_distances)")

    def forward(self, distances: Tensor) -> Float[Tensor, "graphs n n heads"]:
        """Give every pair of padded distances its factor.

        Parameters
        ----------
        distances : Tensor
            Shape (graphs, N, N), integer, in hops; -1 for unreachable pairs and for padding. In uint8 and
            uint16, which have no -1, the dtype's maximum, as in a cache.

        Returns
        -------
        Tensor
            Shape (graphs, N, N, heads): what :class:`dgl.nn.BiasedMHA` and
            :class:`dgl.nn.GraphormerLayer` take with ``attn_bias_type="mul"``.

        Raises
        ------
        GraphError
            If the distances are not integers of that shape.
        """
        if distances.dtype.is_floating_point or distances.dtype == torch.bool:
            raise GraphError(f"distances must be integers, but are {distances.dtype}")
        if distances.ndim != 3 or distances.shape[1] != distances.shape[2]:
            raise GraphError(
                f"distances must have the shape (graphs, N, N), but have {tuple(distances.shape)}"
            )
        index = with_minus_one(distances)
        if index.numel() and int(index.min()) < -1:
            raise GraphError(f"distances must be -1 (unreachable) or more, but one is {int(index.min())}")
        num_distances = int(index.max()) + 1 if index.numel() else 0
        table = self.table(num_distances)
        return table.t()[index.masked_fill(index < 0, num_distances)]


class ExponentialDecay(Decay):
    r"""Exponential decay beyond a learnable number of hops per head.

    .. math::

        M_{h}(\psi) = \gamma^{\mathrm{leaky\_relu}(\psi - \tau_h,\ \text{slope})}

    for a reachable pair at the shortest-path distance :math:`\psi`, and 0 for an unreachable pair.

    Parameters
    ----------
    num_heads : int
        Number of attention heads.
    gamma : float
        Base of the decay, above 0 and at most 1.
    hop : float or sequence of float
        Initial :math:`\tau`, in hops, for all heads or one per head.
    slope : float
        0 is the paper's form: no decay within :math:`\tau` hops. Above 0 the factor exceeds 1 there.
    learnable : bool
        Whether :math:`\tau` is trained.
    unit : float
        Hops (or what else distances are measured in) of one step: :math:`\psi` is ``unit`` times the integer
        distance of a pair.

    Raises
    ------
    ConfigError
        If a value makes no sense.

    Notes
    -----
    Liu et al., "Gradformer: Graph Transformer with Exponential Decay", IJCAI 2024, section 4.1.

    Examples
    --------
    >>> decay = ExponentialDecay(num_heads=2, gamma=0.5, hop=[0.0, 1.0])
    >>> decay.table(3)
    tensor([[1.0000, 0.5000, 0.2500, 0.0000],
            [1.0000, 1.0000, 0.5000, 0.0000]], grad_fn=<CatBackward0>)
    >>> decay(torch.tensor([[[0, 1], [1, 0]]])).shape
    torch.Size([1, 2, 2, 2])
    """

    def __init__(
        self,
        num_heads: int,
        gamma: float = 0.6,
        hop: SupportsFloat | Sequence[float] = 5.0,
        slope: float = 0.0,
        learnable: bool = True,
        unit: float = 1.0,
    ) -> None:
        super().__init__(num_heads)
        if not (math.isfinite(unit) and unit > 0):
            raise ConfigError(f"unit must be a finite number above 0, but is {unit}")
        if not 0 < gamma <= 1:
            raise ConfigError(f"gamma must be above 0 and at most 1, but is {gamma}")
        if not (math.isfinite(slope) and slope >= 0):
            raise ConfigError(f"slope must be a finite number, 0 or more, but is {slope}")
        each = cast(Sequence[float], hop) if np.ndim(cast(Any, hop)) else [cast(float, hop)] * num_heads
        hops = [float(h) for h in each]
        if len(hops) != num_heads:
            raise ConfigError(
                f"hop must be one number or {num_heads}, one per head, but {len(hops)} are given"
            )
        if not all(math.isfinite(h) for h in hops):
            raise ConfigError(f"hop must be finite, but is {hop}")
        self.gamma = float(gamma)
        self.slope = float(slope)
        self.unit = float(unit)
        if learnable:
            self.tau = nn.Parameter(torch.tensor(hops))
        else:
            self.register_buffer("tau", torch.tensor(hops))

    def table(self, num_distances: int) -> Float[Tensor, "heads columns"]:
        """Return the factors by head and distance.

        Parameters
        ----------
        num_distances : int
            Columns for the distances 0 .. num_distances - 1.

        Returns
        -------
        Tensor
            Shape (heads, num_distances + 1); the last column, of unreachable pairs, is 0.
        """
        # bfloat16 has no room for distances beyond 256.
        exact = self.tau.float() if self.tau.dtype in (torch.bfloat16, torch.float16) else self.tau
        hops = self.unit * torch.arange(num_distances, dtype=exact.dtype, device=exact.device)
        beyond = nn.functional.leaky_relu(hops - exact[:, None], self.slope)
        # A base that is a tensor: torch.compile cannot take the logarithm of one that is a number.
        factors = torch.pow(beyond.new_full((), self.gamma), beyond)
        return torch.cat([factors, factors.new_zeros(self.num_heads, 1)], dim=1).to(self.tau.dtype)

    def extra_repr(self) -> str:
        return f"num_heads={self.num_heads}, gamma={self.gamma}, slope={self.slope}"


class NoDecay(Decay):
    """All ones, for unreachable pairs too: plain softmax attention over the nodes of a graph.

    Parameters
    ----------
    num_heads : int
        Rows of the table.
    unit : float
        Not used: as of :class:`ExponentialDecay`.

    Examples
    --------
    >>> NoDecay(num_heads=1).table(2).tolist()
    [[1.0, 1.0, 1.0]]
    """

    one: Tensor

    def __init__(self, num_heads: int, unit: float = 1.0) -> None:
        super().__init__(num_heads)
        # Knows dtype and device of the model that the decay is part of.
        self.register_buffer("one", torch.ones(()), persistent=False)

    def table(self, num_distances: int) -> Float[Tensor, "heads columns"]:
        return self.one.expand(self.num_heads, num_distances + 1)


def make_decay(
    decay: str | nn.Module, num_heads: int, unit: float = 1.0, **options: SupportsFloat | Sequence[float]
) -> nn.Module:
    """Return the decay of that name, or the module itself.

    Parameters
    ----------
    decay : str or nn.Module
        A name in the registry, ``module:Class``, or a module with ``table(num_distances)``.
    num_heads : int
        Rows of the table.
    unit : float
        ``unit`` of :class:`ExponentialDecay`.
    **options
        Options of the decay by their names as settings: ``gamma``, ``hop``, ``slope``, ``learn_hop``.

    Raises
    ------
    ConfigError
        If there is no such name or option, the module has no ``table``, or options are given beside it.

    Examples
    --------
    >>> make_decay("exponential", num_heads=2, gamma=0.5)
    ExponentialDecay(num_heads=2, gamma=0.5, slope=0.0)
    """
    if isinstance(decay, str):
        known = {option.name for option in DECAYS.part(decay).options}
        for name in options.keys() - known:
            raise ConfigError(f"{name} is no option of decay={decay!r}: leave it out")
        arguments = DECAYS.arguments(decay, options)
        if unit != 1:
            arguments["unit"] = unit
        decay = cast(nn.Module, DECAYS.load(decay)(num_heads, **arguments))
    elif options or unit != 1:
        name = next(iter(options), "distance_unit")
        raise ConfigError(f"{name} is given beside a decay that is made already: give it to that decay")
    if not callable(getattr(decay, "table", None)):
        raise ConfigError(f"a decay needs a method table(num_distances), which {type(decay).__name__} lacks")
    return decay
