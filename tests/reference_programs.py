"""Random programs in OpenQASM 3: what a seed and a level stand for is text, the same on every machine.

Level 0 has gates, measurements, resets, barriers, delays, nested `if` on bits, and an input angle; level 1 also the classical language,
what is known while compiling and what outcomes go into: integers, bool, angle, float and duration variables, casts, for, bounded while,
break, continue, switch, outputs; level 2 also subroutines, gate definitions, modifiers and the rest of the standard's gates; level 3 also
gates on several qubits. Programs are small: so few measurements that every outcome is seen many times in a few thousand shots. What the
standard leaves open is not written: no overflow inside a comparison, no mixed signs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
PLAIN_GATES = ("x", "sx", "h", "id", "rx", "ry", "rz")
MORE_GATES = ("y", "z", "s", "sdg", "t", "tdg", "p", "U", "u1", "u2", "u3")
ANGLE_COUNT = {"rx": 1, "ry": 1, "rz": 1, "p": 1, "U": 3, "u1": 1, "u2": 2, "u3": 3}
COUPLED_GATES = {
    "cx": 0,
    "cy": 0,
    "cz": 0,
    "ch": 0,
    "swap": 0,
    "cp": 1,
    "crx": 1,
    "cry": 1,
    "crz": 1,
    "cu": 4,
    "ccx": 0,
    "cswap": 0,
}
REALS = ("float", "duration")
INTEGERS = ("int[8]", "uint[8]", "uint[4]", "int[16]")
INPUTS = {"theta": 0.6180339887, "count": 3}
DEPTH_MAX = 3


class Variable(NamedTuple):
    """A name that is in scope."""

    name: str
    type: str
    writable: bool = True


class Writer:
    """Writes one program."""

    def __init__(self, seed: int, level: int, measurements: int, statements: int) -> None:
        self.rng = random.Random(seed)
        self.level, self.room, self.statements = level, measurements, statements
        self.lines: list[str] = []
        self.head: list[str] = []  # definitions
        self.depth, self.repeats, self.made = 0, 1, 0
        self.qubits = [f"q[{k}]" for k in range(self.rng.choice((1, 2, 2) if level < 3 else (2, 3)))]
        self.bits = [f"c[{k}]" for k in range(self.rng.randint(1, 4))]
        self.scopes: list[list[Variable]] = [[]]
        self.gates: list[tuple[str, int]] = []
        self.adds = self.looks = False  # subroutines
        self.loops = 0  # around what is written now

    def text(self) -> str:
        """Return the whole program."""
        declarations = [
            f"input float theta;\nqubit[{len(self.qubits)}] q;\nbit[{len(self.bits)}] c;\nbit[{len(self.qubits)}] e;"
        ]
        if self.level:
            declarations.append(
                f'bit[3] d = "{self.rng.randrange(8):03b}";\narray[int[8], 3] w = {{1, {self.rng.randint(-9, 9)}, 5}};'
            )
            self._classical()
        self.line("reset q;")
        for qubit in self.qubits:
            self.line(f"ry({self.rng.uniform(0.5, 2.6):.4f}) {qubit};")
        for _ in range(self.statements):
            self.statement()
        for place, qubit in enumerate(self.qubits):  # what is left in the qubits is seen, too
            self.line(f"ry(0.7) {qubit};")
            self.line(f"e[{place}] = measure {qubit};")
        self._ending()
        return HEAD + "\n".join([*self.head, *declarations, *self.lines]) + "\n"

    def line(self, text: str) -> None:
        """Add a line."""
        self.lines.append("  " * self.depth + text)

    @contextmanager
    def block(self, opening: str, repeats: int = 1, names: tuple[Variable, ...] = ()) -> Iterator[None]:
        """Write what the caller writes into braces."""
        self.line(opening + " {")
        self.depth += 1
        self.repeats *= repeats
        self.scopes.append(list(names))
        yield
        self.scopes.pop()
        self.repeats //= repeats
        self.depth -= 1
        self.line("}")

    def body(self, count: int) -> None:
        """Write some statements."""
        for _ in range(self.rng.randint(1, count)):
            self.statement()

    def statement(self) -> None:
        """Write any statement that has room."""
        simple: list[tuple[int, Callable[[], None]]] = [
            (8, self.gate),
            (4, self.measure),
            (1, self.reset),
            (1, self.pause),
        ]
        if self.level:
            simple += [(4, self.assign), (1, self.declare), (2, self.set_bit), (2, self.feed), (3, self.estimate)]
            if not self.depth:
                simple += [(1, self.wait)]
            if self.rng.random() < 0.1:
                simple += [(1, self.end)]
        if self.level > 1:
            simple += [(1, self.set_slice)]
        if self.loops:
            simple += [(2, self.leave)]
        nested: list[tuple[int, Callable[[], None]]] = [(4, self.branch)]
        if self.level:
            nested += [(1, self.for_loop), (1, self.while_loop), (1, self.switch)]
        choices = simple + (nested if self.depth < DEPTH_MAX else [])
        [make] = self.rng.choices([one for _, one in choices], [weight for weight, _ in choices])
        make()

    # ---- Quantum -----------------------------------------------------------------------------------------------------

    def angle(self) -> str:
        """Return an angle that is no multiple of a quarter turn, mostly."""
        forms = (
            lambda: f"{self.rng.choice((-5, -3, -2, -1, 1, 2, 3, 4, 5, 7))} * pi / {self.rng.choice((3, 4, 5, 7, 8))}",
            lambda: f"{self.rng.uniform(-3.1, 3.1):.6f}",
            lambda: f"theta * {self.rng.choice((-2, -1, 1, 2, 3))}",
            lambda: f"pi / {self.rng.choice((2, 3, 4))} - theta",
        )
        loops = [one.name for one in self.visible("loop")]
        if loops and self.rng.random() < 0.5:
            return f"{self.rng.choice(loops)} * pi / {self.rng.choice((4, 5, 7))}"
        angles = [one.name for one in self.visible("angle[16]")]
        if angles and self.rng.random() < 0.4:
            return self.rng.choice(angles)
        return self.rng.choice(forms)()

    def gate(self) -> None:
        """Write a gate on a qubit, or on several."""
        if self.level > 2 and self.rng.random() < 0.5:
            self.coupled()
            return
        qubit = self.rng.choice(self.qubits)
        if self.gates and self.rng.random() < 0.3:
            name, count = self.rng.choice(self.gates)
        else:
            name = self.rng.choice(PLAIN_GATES if self.level < 2 or self.rng.random() < 0.5 else MORE_GATES)
            count = ANGLE_COUNT.get(name, 0)
        modifier = ""
        if self.level > 1 and self.rng.random() < (0.7 if name.startswith("g") else 0.2):
            forms = ["inv @ ", "inv @ ", "pow(2) @ ", "inv @ pow(2) @ ", "pow(-1) @ "]
            if name not in {"rx", "ry"}:  # one pulse makes a turn and a half
                forms += ["pow(3) @ "]
            if not count:  # of others, a power that is no whole number may be refused
                forms += ["pow(0.5) @ ", "pow(-1.3) @ "]
            modifier = self.rng.choice(forms)
        angles = f"({', '.join(self.angle() for _ in range(count))})" if count else ""
        self.line(f"{modifier}{name}{angles} {qubit};")

    def coupled(self) -> None:
        """Write a gate on several qubits, some of them by modifiers."""
        room = len(self.qubits)
        if self.rng.random() < 0.7:
            name = self.rng.choice([one for one in COUPLED_GATES if room > 2 or one not in {"ccx", "cswap"}])
            count, size, modifier = COUPLED_GATES[name], 3 if name in {"ccx", "cswap"} else 2, ""
            if self.rng.random() < 0.3:
                modifier = self.rng.choice(("inv @ ", "pow(2) @ ", "pow(-1) @ "))
        else:
            name = self.rng.choice(
                ("h", "s", "t", "sx", "p", "U", "rx", "u3", "gphase", *(one for one, _ in self.gates))
            )
            count = {"gphase": 1}.get(name, dict(self.gates).get(name, ANGLE_COUNT.get(name, 0)))
            modifier = self.rng.choice(
                ("ctrl @ ", "negctrl @ ", "inv @ ctrl @ ", "negctrl @ inv @ ", "ctrl @ pow(2) @ ")
            )
            size = 1 if name == "gphase" else 2
            if room > size and self.rng.random() < 0.3:
                modifier, size = "ctrl @ " + modifier, size + 1
        angles = f"({', '.join(self.angle() for _ in range(count))})" if count else ""
        self.line(f"{modifier}{name}{angles} {', '.join(self.rng.sample(self.qubits, size))};")

    def measure(self, bit: str | None = None) -> None:
        """Write a measurement, if there is room for one more."""
        if self.room < self.repeats:
            self.gate()
            return
        self.room -= self.repeats
        qubit = self.rng.choice(self.qubits)
        if self.rng.random() < 0.6:  # so that the outcome is open
            self.line(f"{self.rng.choice(('rx(1.234)', 'ry(-0.9)', 'sx', 'h', 'rx(theta)'))} {qubit};")
        if self.looks and self.rng.random() < 0.4:
            self.line(f"{bit or self.rng.choice(self.bits)} = looked({qubit}, {self.angle()});")
        else:
            self.line(f"{bit or self.rng.choice(self.bits)} = measure {qubit};")

    def reset(self) -> None:
        """Write a reset."""
        self.line(f"reset {self.rng.choice(self.qubits)};")

    def pause(self) -> None:
        """Write what takes time and does nothing."""
        qubit = self.rng.choice([*self.qubits, "q"])
        self.line(self.rng.choice((f"delay[{self.rng.randint(1, 400)}ns] {qubit};", f"barrier {qubit};")))

    # ---- Control -----------------------------------------------------------------------------------------------------

    def feed(self) -> None:
        """Turn a qubit by an angle that an outcome decides, so that its sign is seen."""
        angle, qubit = self.rng.choice(self.visible("angle[16]")).name, self.rng.choice(self.qubits)
        self.line(f"if ({self.rng.choice(self.bits)}) {{ {angle} = {self.expression('angle[16]')}; }}")
        sum_ = f"{angle} {self.rng.choice('+-')} pi / {self.rng.choice((4, 8))}"
        turn = self.rng.choice(
            (f"rz({angle})", f"rz(-{angle})", f"rz({angle} * 3)", f"rz({sum_})", f"rx({angle})", f"ry({sum_})")
        )
        self.line(f"sx {qubit};")
        self.line(f"{turn} {qubit};")
        self.line(f"ry(0.7) {qubit};")

    def estimate(self) -> None:
        """Carry a real number on by an outcome, turn a qubit by it, or decide by it."""
        name, bit, qubit = (
            self.rng.choice(self.visible("float")).name,
            self.rng.choice(self.bits),
            self.rng.choice(self.qubits),
        )
        self.line(f"if ({bit}) {{ {name} = {self.expression('float')}; }}")
        form = self.rng.choice((
            f"ry({name}) {qubit};",
            f"if ({name} {self.rng.choice(('<', '>=', '=='))} {self.expression('float')}) {{ ry(0.7) {qubit}; }}",
            f"{bit} = bit(bool(int({name} * {self.rng.randint(1, 9)}) & 1));",
        ))  # fmt: skip
        self.line(form)

    def wait(self) -> None:
        """Wait for as long as outcomes say."""
        name, bit = self.rng.choice(self.visible("duration")).name, self.rng.choice(self.bits)
        self.line(f"if ({bit}) {{ {name} = {self.expression('duration')}; }}")
        self.line(f"delay[{name}] {self.rng.choice([*self.qubits, 'q'])};")

    def branch(self) -> None:
        """Write if, half of the time with else."""
        with self.block(f"if ({self.condition()})"):
            self.body(3)
        if self.rng.random() < 0.5:
            self.lines[-1] += " else {"
            self.depth += 1
            self.scopes.append([])
            self.body(3)
            self.scopes.pop()
            self.depth -= 1
            self.line("}")

    def condition(self, depth: int = 1) -> str:
        """Return a condition on bits, and on variables where there are some."""
        bit, size = self.rng.choice(self.bits), len(self.bits)
        forms = [
            lambda: bit,
            lambda: f"!{bit}",
            lambda: f"{bit} == {self.rng.randint(0, 1)}",
            lambda: f"c {self.rng.choice(('==', '!='))} {self.rng.randrange(2**size)}",
            lambda: f'c == "{self.rng.randrange(2**size):0{size}b}"',
        ]
        if self.level:
            number = self.rng.choice(INTEGERS)
            forms += [
                lambda: (
                    f"{self.leaf(number)} {self.rng.choice(('<', '<=', '==', '!=', '>', '>='))} {self.literal(number)}"
                )
            ] * 3
            flags = [one.name for one in self.visible("bool")] + [f"d[{self.rng.randrange(3)}]"]
            flags += [f"{one.name}[{self.rng.randrange(4)}]" for type_ in INTEGERS for one in self.visible(type_)]
            forms += [lambda: self.rng.choice(flags)] * 2
            if depth:
                forms += [
                    lambda: f"({self.condition(0)}) {self.rng.choice(('&&', '||'))} ({self.condition(0)})",
                    lambda: f"!({self.condition(0)})",
                ]
        return self.rng.choice(forms)()

    def for_loop(self) -> None:
        """Write a loop over known numbers."""
        count = self.rng.randint(2, 3)
        start = self.rng.randint(-1, 2)
        values = self.rng.choice((
            f"[{start}:{start + count - 1}]",
            f"[{start + 2 * count - 1}:-2:{start}]",
            f"{{{', '.join(str(self.rng.randint(0, 6)) for _ in range(count))}}}",
        ))  # fmt: skip
        name = self.fresh("k")
        self.loops += 1
        with self.block(f"for int {name} in {values}", count, (Variable(name, "loop", writable=False),)):
            self.body(3)
        self.loops -= 1

    def while_loop(self) -> None:
        """Write a loop that ends when a bit says so, after so many turns at most."""
        name, bit, turns = self.fresh("t"), self.rng.choice(self.bits), self.rng.randint(2, 3)
        if self.room < self.repeats * turns:
            self.gate()
            return
        self.line(f"int[8] {name} = 0;")
        self.scopes[-1].append(Variable(name, "int[8]", writable=False))
        with self.block(f"while ({bit} == {self.rng.randint(0, 1)} && {name} < {turns})", turns):
            self.line(f"{name} += 1;")  # first: a continue must not leave it out
            self.body(2)
            self.measure(bit)

    def leave(self) -> None:
        """Leave a loop, or one turn of it."""
        self.line(f"if ({self.condition()}) {{ {self.rng.choice(('break', 'continue'))}; }}")

    def switch(self) -> None:
        """Write a switch on a small number."""
        number = self.rng.choice(INTEGERS)
        labels = self.rng.sample(range(4), 3)
        with self.block(f"switch ({self.leaf(number)})"):
            with self.block(f"case {labels[0]}"):
                self.body(2)
            with self.block(f"case {labels[1]}, {labels[2]}"):
                self.body(2)
            if self.rng.random() < 0.6:
                with self.block("default"):
                    self.body(2)

    # ---- Classical ---------------------------------------------------------------------------------------------------

    def _classical(self) -> None:
        """Declare variables, and define what the body may use."""
        if self.level > 1:
            self._definitions()
        self.line(f"w[{self.rng.randrange(3)}] = {self.literal('int[8]')};")
        for type_ in (
            "angle[16]",
            *REALS,
            *[self.rng.choice((*INTEGERS, *INTEGERS, "bool")) for _ in range(self.rng.randint(2, 3))],
        ):
            self.declare(type_)

    def _definitions(self) -> None:
        """Define gates and subroutines."""
        for name in self.rng.sample(("g0", "g1"), self.rng.randint(1, 2)):
            self.head.append(
                f"gate {name}(a, b) r {{ rx(a) r; {self.rng.choice(('h r; ', 'sx r; ', ''))}rz(b / 2) r; ry(a - b) r; }}"
            )
            self.gates.append((name, 2))
        self.adds, self.looks = self.rng.random() < 0.4, self.rng.random() < 0.4
        if self.adds:  # one way out or two
            small, large = self.rng.sample(range(1, 9), 2)
            middle = self.rng.choice(
                (f"if (b) {{ return n + {small}; }}", f"if (b) {{ n = n + {small}; }} else {{ n -= 1; }}")
            )
            self.head.append(f"def added(int[8] n, bit b) -> int[8] {{ {middle} return n * {large}; }}")
        if self.looks:
            self.head.append(
                "def looked(qubit a, angle[32] t) -> bit { ry(t) a; bit m = measure a; if (m) { x a; } return m; }"
            )

    def visible(self, type_: str, *, writable: bool = False) -> list[Variable]:
        """Return the variables of a type."""
        found = {one.name: one for scope in self.scopes for one in scope}
        return [one for one in found.values() if one.type == type_ and (one.writable or not writable)]

    def fresh(self, stem: str) -> str:
        """Return a name that nobody has."""
        self.made += 1
        return f"{stem}{self.made}"

    def declare(self, type_: str = "") -> None:
        """Declare a variable with its first value."""
        type_ = type_ or self.rng.choice((*INTEGERS, "bool", "angle[16]"))
        name = self.fresh("v")
        self.line(f"{type_} {name} = {self.expression(type_)};")
        self.scopes[-1].append(Variable(name, type_))

    def assign(self) -> None:
        """Assign to a variable."""
        found = {one.name: one for scope in self.scopes for one in scope if one.writable}
        if not found:
            self.gate()
            return
        targets = list(found.values())
        target = self.rng.choice([*targets, *self.visible("angle[16]") * 2])
        if target.type.startswith(("int", "uint")) and self.rng.random() < 0.4:
            self.line(
                f"{target.name} {self.rng.choice(('+=', '-=', '^=', '&=', '|='))} {self.expression(target.type)};"
            )
        else:
            self.line(f"{target.name} = {self.expression(target.type)};")

    def set_bit(self) -> None:
        """Write a bit, or all of them."""
        size = len(self.bits)
        others = f'{self.rng.choice(("c", "~c", "c << 1", "c >> 1"))} {self.rng.choice("&|^")} "{self.rng.randrange(2**size):0{size}b}"'
        self.line(
            self.rng.choice((
                f"{self.rng.choice(self.bits)} = {self.rng.randint(0, 1)};",
                f"{self.rng.choice(self.bits)} = {self.rng.choice(self.bits)} {self.rng.choice('&|^')} {self.rng.choice(self.bits)};",
                f"c = {others};",
                f"d = bit[3](uint[3]({self.leaf(self.rng.choice(INTEGERS))}));",
                f"d[{self.rng.randrange(3)}] = bit({self.condition()});",
            ))
        )  # fmt: skip

    def end(self) -> None:
        """End the program early, perhaps."""
        self.line(f"if ({self.condition()}) {{ end; }}")

    def expression(self, type_: str) -> str:
        """Return an expression for a variable of a type."""
        if type_ == "bool":
            return self.condition() if self.rng.random() < 0.8 else self.rng.choice(("true", "false"))
        if type_ == "angle[16]":
            others = [one.name for one in self.visible(type_)]
            if others and self.rng.random() < 0.5:
                return f"{self.rng.choice(others)} {self.rng.choice(('+', '-'))} {self.rng.choice((*others, 'pi / 4', 'pi / 8'))}"
            return f"{self.rng.randint(1, 15)} * pi / 8"
        if type_ == "float":
            return self.real(2)
        if type_ == "duration":
            count = self.rng.choice((f"int({self.leaf('uint[4]')})", "3"))
            more = self.rng.choice(self.visible(type_)).name if self.visible(type_) else "16ns"
            return f"{self.rng.randint(1, 20)}ns * {count} + {more}"
        return self.number(type_, 2)

    def real(self, depth: int) -> str:
        """Return arithmetic on real numbers."""
        number = self.rng.choice(("0.25", "-0.5", "1.5", "0.1", "3.0"))
        leaves = [one.name for one in self.visible("float")] * 2 + [f"float({self.leaf('uint[4]')})", number]
        if not depth:
            return self.rng.choice(leaves)
        inner = self.real(depth - 1)
        forms = (
            f"({inner} * {number})",
            f"({inner} {self.rng.choice('+-')} {self.rng.choice(leaves)})",
            f"({inner} / {self.rng.choice((2, 4, 8))})",
        )
        return self.rng.choice(forms)

    def leaf(self, type_: str) -> str:
        """Return a number of a type: a variable, bits as a number, or another variable cast."""
        forms = [one.name for one in self.visible(type_)] * 2
        forms += [f"{type_}({one.name})" for other in INTEGERS for one in self.visible(other) if other != type_]
        forms += [f"{type_}(uint[{len(self.bits)}](c))", f"{type_}(uint[3](d))"]
        forms += [f"w[{self.rng.randrange(3)}]"] * (type_ == "int[8]")
        return self.rng.choice(forms)

    def literal(self, type_: str) -> str:
        """Return a small constant."""
        return str(self.rng.randint(0 if type_.startswith("u") else -5, 9))

    def number(self, type_: str, depth: int) -> str:
        """Return arithmetic on numbers of one type."""
        if not depth or self.rng.random() < 0.3:
            return self.leaf(type_) if self.rng.random() < 0.7 else self.literal(type_)
        left, right = self.leaf(type_), self.number(type_, depth - 1)  # a literal alone may be below zero
        if self.rng.random() < 0.5:
            left = f"({left} {self.rng.choice('+*^')} {self.number(type_, depth - 1)})"
        forms = [f"({left} {sign} {right})" for sign in "+-*&|^"] + [
            f"{type_}(-({left}))",
            f"{type_}(~{self.leaf(type_)})",
        ]
        if type_.startswith("u"):
            forms += [f"({type_}({left}) {sign} {self.rng.randint(1, 3)})" for sign in ("<<", ">>")]
            forms += [f"({type_}({left}) {sign} {self.rng.choice((2, 4, 8))})" for sign in "/%"]
        forms += [f"({self.leaf(type_)} + {type_}(bool({self.rng.choice(self.bits)})))"]
        if self.level > 1:
            forms += self.rare_numbers(type_)
        if self.adds and type_ == "int[8]":
            forms += [f"added({left}, {self.rng.choice(self.bits)})"]
        return self.rng.choice(forms)

    def rare_numbers(self, type_: str) -> list[str]:
        """Return what a sequencer has no operator for."""
        leaf, bits = self.leaf(type_), len(self.bits)
        forms = [f"{type_}(popcount({self.rng.choice(('c', 'd', f'{leaf}' if type_.startswith('u') else 'd'))}))"]
        forms += [f"{type_}(uint[{bits}](rot{self.rng.choice('lr')}(c, {self.rng.randrange(4)})))"]
        if type_.startswith("u"):
            forms += [f"({leaf} << uint[2](d[0:1]))", f"({leaf} >> {self.rng.randrange(9)})"]
        if "16" not in type_:
            forms += [f"({leaf} {sign} {self.rng.choice((3, 5, 7))})" for sign in "/%"]
            forms += [f"({leaf} ** {self.rng.randrange(4)})"]
        forms += [f"({leaf} {sign} {self.rng.choice((2, 4, 8))})" for sign in "/%"]
        forms += [f"{type_}(uint[2]({name}[{at}:{at + 1}]))" for name in self.wide() for at in (1,)]
        return forms

    def wide(self) -> list[str]:
        """Return the integers in scope."""
        return [one.name for type_ in INTEGERS for one in self.visible(type_)]

    def set_slice(self) -> None:
        """Write some bits of an integer."""
        names = [one.name for type_ in INTEGERS for one in self.visible(type_, writable=True)]
        if names:
            at, name = self.rng.randrange(2), self.rng.choice(names)
            self.line(
                f"{name}[{at}:{at + 1}] = {self.rng.choice(('d[0:1]', 'd[{2, 0}]', 'bit[2](uint[2](d[1:2]) + 1)'))};"
            )
            self.line(f"{name}[{self.rng.randrange(4)}] = {self.rng.choice(self.bits)};")

    def _ending(self) -> None:
        """Say what the variables came to; they say it at the beginning, too, since the program may end on its way."""
        for one in self.scopes[0][1:6] if self.level else []:
            if self.rng.random() < 0.7 and one.type not in {"angle[16]", *REALS}:
                self.head.append(f"output {one.type} out_{one.name};")
                self.line(f"out_{one.name} = {one.name};")
                place = next(k for k, line in enumerate(self.lines) if line == "reset q;")
                self.lines.insert(place, f"out_{one.name} = {'false' if one.type == 'bool' else 1};")


def random_program(seed: int, level: int, measurements: int = 4, statements: int = 8) -> str:
    """Return the program of a seed."""
    return Writer(seed, level, measurements, statements).text()
