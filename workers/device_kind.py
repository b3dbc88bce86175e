"""The kinds of device there are, named without torch so that settings can say them."""

from typing import Literal

DeviceKind = Literal["cpu", "cuda"]
RequestedDevice = Literal["auto", "cpu", "cuda"]
