"""What makes two recordings of different sources a pair."""

from typing import Literal, TypeAlias

MatchBy: TypeAlias = Literal["stem", "name"]
