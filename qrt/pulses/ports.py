"""A lab as OpenPulse sees it: lines and digitizer as ports, calibrated frames and waveforms by name.

A qubit `q0` has the frames `q0_drive` (that its gates play on), `q0_readout` (as its tone's) and `q0_acquire` (the digitizer at the tone's
frequency), and the waveforms `q0_sx` and `q0_tone`, with the calibration's numbers or the nominal ones, as the gates have them. A
coupler `q0_q1` has the frame `q0_q1_drive` and the waveform `q0_q1_cz`; its line's clock is that of its first qubit, as in cz.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from qrt.pulses.gates import GateSet
from qrt.qasm.ports import LabFrame, LabWaveform, LabWeights, Port, Ports
from qrt.types import Lab
from qrt.units import PS_PER_S

DIGITIZER = "digitizer"


def ports_of(lab: Lab, gates: GateSet) -> Ports:
    """Return what a program with pulses can name."""
    named = gates.known
    own, envelopes, weights = gates.frames(named), gates.envelopes(named), gates.weights(named)
    frames: dict[str, LabFrame] = {}
    waveforms: dict[str, LabWaveform] = {}
    for name in named:
        qubit = lab.qubits[name]
        drive, readout = own[f"{name}.drive"], own[f"{name}.readout"]
        found = weights[f"{name}.weights"]
        assert isinstance(found.samples, np.ndarray)
        calibrated = LabWeights(found.samples, found.threshold)  # nominal ones separate nothing, but have the length
        drive_hz = _exact(drive.frequency_hz) + _exact(lab.lines[qubit.drive_line].source_hz)
        readout_hz = _exact(readout.frequency_hz) + _exact(lab.lines[qubit.readout_line].source_hz)
        frames[f"{name}_drive"] = LabFrame(qubit.drive_line, drive_hz, name, f"{name}.drive")
        frames[f"{name}_readout"] = LabFrame(qubit.readout_line, readout_hz, name, f"{name}_readout", calibrated)
        frames[f"{name}_acquire"] = LabFrame(DIGITIZER, readout_hz, name, None, calibrated)
        waveforms[f"{name}_sx"] = LabWaveform(envelopes[f"{name}.sx"], gates.sx_amplitude(name))
        waveforms[f"{name}_tone"] = LabWaveform(envelopes[f"{name}.tone"], gates.readout_amplitude(name))
    tones, shapes = gates.cz_frames(gates.known_couplers), gates.cz_envelopes(gates.known_couplers)
    for name in gates.known_couplers:
        coupler = lab.couplers[name]
        hz = _exact(tones[f"{name}.cz"].frequency_hz) + _exact(lab.lines[coupler.line].source_hz)
        frames[f"{name}_drive"] = LabFrame(coupler.line, hz, coupler.qubits[0], f"{name}.cz")
        waveforms[f"{name}_cz"] = LabWaveform(shapes[f"{name}.cz"], gates.cz_amplitude(name))
    timing = lab.timing
    return Ports(
        ports=_ports(lab),
        frames=frames,
        waveforms=waveforms,
        qubits=tuple(lab.qubits),
        sample_s=Fraction(timing.tick_ps * timing.sample_ticks, PS_PER_S),
        nco_hz_max=Fraction(PS_PER_S, 2 * timing.tick_ps),
    )


def _ports(lab: Lab) -> dict[str, Port]:
    """Return the lines, and the digitizer behind those that read out."""
    drives: dict[str, list[str]] = {}
    for name, qubit in lab.qubits.items():
        drives.setdefault(qubit.drive_line, []).append(name)
    drives |= {coupler.line: [coupler.qubits[0]] for coupler in lab.couplers.values()}
    readouts = {qubit.readout_line for qubit in lab.qubits.values()}
    ports = {}
    for name, line in lab.lines.items():
        driven = drives.get(name, [])
        clock = driven[0] if len(driven) == 1 and name not in readouts else None
        ports[name] = Port(name, _exact(line.source_hz), plays=True, captures=name in readouts, sequencer=clock)
    behind = next(iter(lab.qubits.values())).readout_line
    ports[DIGITIZER] = Port(DIGITIZER, _exact(lab.lines[behind].source_hz), plays=False, captures=True)
    return ports


def _exact(hertz: float) -> Fraction:
    """Return a frequency as the decimal that it prints as."""
    return Fraction(repr(float(hertz)))
