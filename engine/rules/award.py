"""What a transaction earns: a quarter of counted spending, 5,000 points at most, rounded down.

All amounts are whole yen and points in 64-bit integers.
"""

from typing import overload

import numpy as np
import numpy.typing as npt

from engine.rules import quotes
from engine.terms.programme import Programme

Yen = npt.NDArray[np.int64]
Points = npt.NDArray[np.int64]


@quotes("付与の上限金額は5,000円(前払い又は購入額の上限は2万円)")
def counted_spend(net_spend_yen: Yen, programme: Programme) -> Yen:
    """Net spending held between 0 and the cap."""
    return np.clip(net_spend_yen, 0, programme.cap_yen)


@overload
def worth(counted_yen: Yen, programme: Programme) -> Points: ...
@overload
def worth(counted_yen: int, programme: Programme) -> int: ...
@quotes("付与率(プレミアム率)は、選択した決済サービスに対するチャージ(前払い)又は物品の購入額の25%")
def worth(counted_yen: Yen | int, programme: Programme) -> Points | int:
    """What a rounding group of this sum is worth: rounded toward minus infinity."""
    return counted_yen * programme.rate_numerator // programme.rate_denominator
