"""Calibration from the lab itself: programs through the same loop, fits, and the order of the steps.

Every calibration that an experimenter knows by a name is a file: a program, an analysis of arrays, what it changes, and its picture
(`rabi`, `ramsey`, `t1`, `echo`, `readout`, ...). `bench` plays their programs, `finding` is what they come to, `signals` what they
saw, `fit` the closed forms, `order` says what follows what. What several of them need has a file, too: `references`, the shots behind
heralds, and `heralds`, what lies behind them; `levels`, how far apart two levels are seen; `feedline`, who shares one; `top`, of a curve.
A calibration receives a `measure` function and knows nothing else of the hardware: what it cannot measure, it does not know.
"""

from qrt.calibrate.order import calibrate

__all__ = ["calibrate"]
