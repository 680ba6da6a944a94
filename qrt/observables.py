"""Which expectation values a sequence supports, and what the plant knows of them.

A bit has one if every capture that writes it reads the same qubit at a place of the shot that is the same in every shot (a static
tone index): then its outcome is that qubit's, and that qubit's assignment matrix mitigates it. Z of each such bit is estimated, and
the product of all of them where they are of several qubits. Not of one qubit read twice: a jump during the first tone ties its
outcome to the level at the second, which product weights take for independent. Bits that are written otherwise, or only
on some paths, are recorded like any other and named in `excluded` with the reason. The bits that resets look at belong to no program
and have none.
"""

from __future__ import annotations

from collections.abc import Sequence as Sequences

import msgspec

from qrt.compile import BRANCH, CAPTURE, END, IF_ALWAYS
from qrt.compile.instructions import PLAY, PLAY_REGISTER
from qrt.types import Estimate, Sequence, Truth

PRODUCT_BITS_MAX = 12


class Observables(msgspec.Struct, frozen=True):
    """The observables of a sequence, in the order of their estimates."""

    bit_names: tuple[str, ...]
    bit_qubits: tuple[str | None, ...]  # [bits] the qubit that the bit is read from; None: it has no expectation value
    tones: tuple[int | None, ...]  # [bits] which readout tone of that qubit in the shot
    terms: tuple[tuple[int, ...], ...]  # each a product of Z on these bits, ascending
    excluded: tuple[str, ...]  # why a bit has none
    own_tones: bool = False  # the program plays tones itself, so that nobody knows which of the plant's a bit saw

    @property
    def product(self) -> dict[str, int]:
        """The qubits whose Z are multiplied in the last term, and which tone of the shot is each one's; empty without a product."""
        last = self.terms[-1] if self.terms and len(self.terms[-1]) > 1 else ()
        places = ((self.bit_qubits[bit], self.tones[bit]) for bit in last)
        return {qubit: tone for qubit, tone in places if qubit is not None and tone is not None}


def observables_of(sequence: Sequence) -> Observables:
    """Return what can be estimated from this sequence's bits."""
    qubits: list[str | None] = []
    tones: list[int | None] = []
    excluded = []
    for bit, name in enumerate(sequence.bits):
        captures = [index for index, slot in enumerate(sequence.slots) if slot.bit == bit]
        reason = _why_not(sequence, captures)
        own = name.partition(".")[1] == "."  # not the program's: what `reset` looks at
        qubits.append(None if reason or own else sequence.slots[captures[0]].qubit)
        tones.append(None if reason or own else sequence.slots[captures[0]].tone_index)
        if reason and not own:
            excluded.append(f"{name}: {reason}")
    terms: tuple[tuple[int, ...], ...] = tuple((bit,) for bit, qubit in enumerate(qubits) if qubit is not None)
    own_bits = tuple(bit for (bit,) in terms)
    if 1 < len(own_bits) <= PRODUCT_BITS_MAX and len({qubits[bit] for bit in own_bits}) == len(own_bits):
        terms += (own_bits,)
    return Observables(sequence.bits, tuple(qubits), tuple(tones), terms, tuple(excluded), _own_tones(sequence))


def _why_not(sequence: Sequence, captures: list[int]) -> str:
    """Return why a bit that these captures write has no expectation value; empty if it has one."""
    if not captures:
        return "never measured"
    slots = [sequence.slots[index] for index in captures]
    names = sorted({slot.qubit for slot in slots})
    if "" in names:
        return "captured by the program itself: no assignment matrix is known of its readout"
    if len(names) > 1:
        return f"measured from several qubits: {', '.join(names)}"
    if slots[0].tone_index is None or len({slot.tone_index for slot in slots}) > 1:
        return "measured several times, or at a place of the shot that depends on an outcome"
    entry = int(sequence.entries[sequence.sequencers.index(names[0])])
    if not _always(sequence, entry, frozenset(captures)):
        return "measured only on some paths of the program"
    return ""


def _own_tones(sequence: Sequence) -> bool:
    """Say whether a sequencer that is no qubit's plays on a readout line, where a carrier counts from its play."""
    qubits = {slot.qubit for slot in sequence.slots}
    for name, entry in zip(sequence.sequencers, sequence.entries.tolist(), strict=True):
        for one in sequence.instructions[entry:]:
            if one["op"] == END:
                break
            if one["op"] in {PLAY, PLAY_REGISTER} and one["d"] == 1 and name not in qubits:
                return True
    return False


def _always(sequence: Sequence, entry: int, captures: frozenset[int]) -> bool:
    """Return whether every path from `entry` to the end executes one of the captures. Jumps lead forward: nothing loops yet."""
    end = entry
    while sequence.instructions[end]["op"] != END:
        end += 1
    meets = {end: False}
    for index in range(end - 1, entry - 1, -1):
        one = sequence.instructions[index]
        meets[index] = meets[index + 1]
        if one["op"] == CAPTURE and int(one["b"]) in captures:
            meets[index] = True
        elif one["op"] == BRANCH:
            target = int(one["c"])
            assert target > index
            meets[index] = meets[target] and (int(one["b"]) == IF_ALWAYS or meets[index + 1])
    return meets[entry]


def with_truth(estimates: Sequences[Estimate], observables: Observables, truth: Truth | None) -> tuple[Estimate, ...]:
    """Return the estimates with the plant's own value of <Z>, or of the product, at the start of the tones, where it knows one."""
    if truth is None or observables.own_tones:
        return tuple(estimates)
    result = []
    for term, estimate in zip(
        observables.terms[: len(estimates)], estimates, strict=True
    ):  # of a single shot there are none
        known = truth.product
        if len(term) == 1:
            qubit, tone = observables.bit_qubits[term[0]], observables.tones[term[0]]
            assert qubit is not None
            assert tone is not None
            population = truth.population.get((qubit, tone))
            known = None if population is None else 1.0 - 2.0 * population
        result.append(msgspec.structs.replace(estimate, truth=known))
    return tuple(result)
