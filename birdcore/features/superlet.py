"""The superlet front end: wavelets of several lengths, of each the resolution that it has.

A short wavelet says when, a long one at which pitch. A superlet is the geometric mean over
wavelets of 1, 2, 3 ... times `cycles`, so it is large only where all of them are: about as short as
the first and as narrow as the last (Moca et al. 2021, Nature Communications 12:337).
"""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from birdcore.features.cwt import CwtSpec


class SuperletSpec(CwtSpec):
    """Superlets: wavelets as of `CwtSpec`, multiplied over orders (see `FrontEnd`).

    `order` 1 is the wavelet transform of `cycles`. At 4 there are wavelets of 1, 2, 3 and 4 times
    `cycles`; at 3.5 that of 4 times has half the exponent of the others (Barzan et al. 2021).
    Moca's c1 is 5 / (2 pi) of `cycles`: 6.4 for 8.

    Mixing two recordings adds their powers, which is right where one is much louder: a geometric
    mean of a sum is not the sum of geometric means.

    Example:
        >>> spec = SuperletSpec(scales=96, order=2.5)
        >>> spec.bins, [multiple for multiple, _ in spec.wavelets]
        (96, [1.0, 2.0, 3.0])
    """

    name: ClassVar[str] = "superlet"

    cycles: float = Field(default=8.0, gt=0)
    order: float = 4.0

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not 1 <= self.order <= 16:
            raise ValueError(f"order is {self.order:g}: choose 1 (wavelets alone) to 16")
        return self

    @property
    def wavelets(self) -> tuple[tuple[float, float], ...]:
        """Of each wavelet of a superlet what multiplies `cycles`, and its exponent (1 in all)."""
        whole = int(self.order)
        shares = [1.0] * whole + [self.order - whole] * (self.order > whole)
        return tuple((1.0 + before, each / self.order) for before, each in enumerate(shares))
