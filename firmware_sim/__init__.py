"""Simulated instruments: what stands on the rack when there is no rack.

SCPI models as command tables, the twin that wires them to the physics in C (`_plant`), and the shells that expose one
model to pyvisa-sim or to a serial line. Of the host, these modules may see only units, errors, types and scpi: no
demodulation and no calibration number is shared, since a bug on both sides would hide itself.
"""
