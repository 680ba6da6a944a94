"""Calibration from the lab itself: sequences through the same loop, fits, and the order of the steps.

`order` says what follows what; `steps` and `references` are the scans; `sequences` makes their shots, `signals` what they saw,
`fit` the closed forms. A calibration receives a `measure` function and knows nothing else of the hardware: what it cannot measure,
it does not know.
"""

from qrt.calibrate.order import calibrate

__all__ = ["calibrate"]
