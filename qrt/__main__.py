"""The command `qrt`: names, options and how it ends. What a command does is in `qrt.commands`, loaded when it is chosen.

Nothing but click is imported here, so that `qrt --help` is quicker than numpy. Errors of the world end with one message on standard
error and the exit status of their class; with `--json` the last line of standard output is one JSON object either way, and holds `error`
if there was one. Our own errors keep their traceback: they are bugs, to be reported.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

INTERRUPTED = 130  # as shells count it: 128 + SIGINT
JSON = f"{__package__}.json"  # where a context keeps that --json was given

as_json = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object on the last line, and nothing for people.",
)
lab_option = click.option("--lab", "lab_path", required=True, type=click.Path(), help="The lab's TOML file.")
program_argument = click.argument("program", type=click.Path())
inputs_option = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A value for an `input` of the program; of a duration in seconds.",
)
sweep_option = click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="NAME=FORM",
    help="Let an `input`, or a setting of an instrument (INSTRUMENT.SETTING), go through linspace(first, last, points), "
    "logspace(first exponent, last exponent, points) or values(a, b, ...); NAME,NAME=zip(FORM, FORM) lets several go along together.",
)

round_option = click.option(
    "--round", is_flag=True, help="Round durations that are no whole number of samples or ticks, and tell each."
)


class Commands(click.Group):
    """The group of commands, which turns errors into messages and exit statuses."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Note --json before anything can be wrong with the other arguments."""
        context.meta[JSON] = "--json" in args
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        """Run the command; end as the module's head says."""
        from qrt.errors import WorldError

        try:
            return super().invoke(context)
        except WorldError as error:
            _end(context, _told(str(error), error), error.exit_code)
        except KeyboardInterrupt as error:
            _end(context, _told("interrupted", error), INTERRUPTED)
        except ImportError as error:
            if (error.name or "").rpartition(".")[2] not in {"_core", "_plant"}:
                raise
            _end(
                context,
                f"the C extension {error.name} does not load ({error}); fix: make venv, or pip install --editable .",
                7,
            )
        except click.ClickException as error:
            if not context.meta.get(JSON):
                raise
            _end(context, error.format_message(), error.exit_code)


def _told(message: str, error: BaseException) -> str:
    """Return the message with what was noted on the error on its way: where things are kept, what is not safe."""
    return "\n".join([message, *getattr(error, "__notes__", ())])


def _end(context: click.Context, message: str, status: int) -> None:
    if context.meta.get(JSON):
        click.echo(json.dumps({"error": {"message": message, "exit_status": status}}, ensure_ascii=False))
    else:
        click.echo(f"error: {message}", err=True)
    context.exit(status)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="qrt")
def cli() -> None:
    """Q-RT: run feedback programs on a lab, real or simulated, in exact time."""


@cli.command()
@click.option("--shots", default=20_000, show_default=True, type=click.IntRange(min=1), help="How many shots.")
@click.option("--runs", type=click.Path(), help="Folder for the run (the lab's).")
@as_json
def demo(*, shots: int, runs: str | None, as_json: bool) -> None:
    """Run an active reset, every step explained."""
    from qrt.commands import demo as command

    _finish(command.demo(shots, runs, silent=as_json), as_json=as_json)


@cli.command()
@program_argument
@lab_option
@click.option(
    "--shots",
    default=1000,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many shots; of a sweep at each point.",
)
@click.option(
    "--averages",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="How often all points of a sweep are gone through.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all chance in a simulated lab (chosen and recorded).")
@inputs_option
@sweep_option
@click.option(
    "--order",
    type=click.Choice(["point", "shot"]),
    default="point",
    show_default=True,
    help="Of a sweep: all shots of a point together, or every shot another point.",
)
@click.option(
    "--pacing",
    type=click.Choice(["virtual", "real", "external"]),
    help="As fast as possible, by this machine's clock, or by the hardware's trigger (the lab's).",
)
@click.option("--period-ns", type=click.FloatRange(min=0, min_open=True), help="Start a shot this often (the lab's).")
@click.option("--stretch", type=click.IntRange(min=0), help="Periods that a shot may take beyond its own (the lab's).")
@round_option
@click.option("--on", metavar="NAME", help="Give the twin's port the published latency of a controller.")
@click.option("--runs", type=click.Path(), help="Folder for the run (the lab's).")
@click.option("--calibration", metavar="HASH|FILE|latest", help="Reuse a calibration instead of taking one.")
@click.option(
    "--controller",
    "controllers",
    multiple=True,
    metavar="LAW:KEY=VALUE,...",
    help="Put a controller into the loop, beside the lab's: integrator:output=theta,bit=c[0].",
)
@click.option("--no-publish", is_flag=True, help="Do not publish on the lab's stream address.")
@as_json
def run(
    *, program: str, lab_path: str, as_json: bool, inputs: tuple[str, ...], no_publish: bool, **options: Any
) -> None:
    """Calibrate the lab, run PROGRAM on it."""
    from qrt.commands import run as command
    from qrt.commands.screen import Screen

    given = command.Request(program=program, lab=lab_path, inputs=_values(inputs), publish=not no_publish, **options)
    _finish(command.execute(given, Screen(silent=as_json)), as_json=as_json)


@cli.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@lab_option
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all chance in a simulated lab (chosen and recorded).")
@click.option("--runs", type=click.Path(), help="Folder whose `calibrations` hold the result (the lab's).")
@click.option(
    "--calibration", metavar="HASH|FILE|latest", help="Start from this one (the lab's newest; for all: the lab file)."
)
@as_json
def calibrate(*, names: tuple[str, ...], lab_path: str, as_json: bool, **options: Any) -> None:
    """Calibrate the lab: the calibrations NAME... in this order, or `all`.

    resonator_spectroscopy, qubit_spectroscopy, rabi, tone, detuning, readout, weights, t1, train, ramsey, echo, drag, flips, assignment,
    allxy, rb; and of couplers between qubits: cz, bell.
    """
    from qrt.commands import calibrate as command
    from qrt.commands.screen import Screen

    given = command.Request(names=names, lab=lab_path, **options)
    _finish(command.execute(given, Screen(silent=as_json)), as_json=as_json)


@cli.command()
@program_argument
@lab_option
@inputs_option
@sweep_option
@round_option
@click.option("--on", metavar="NAME|all", help="Judge it with the published latency of a controller, or of each.")
@as_json
def check(
    *,
    program: str,
    lab_path: str,
    inputs: tuple[str, ...],
    sweeps: tuple[str, ...],
    round: bool,  # noqa: A002 - the option's name
    on: str | None,
    as_json: bool,
) -> None:
    """Print the timeline of one shot of PROGRAM.

    Each event's tick, duration, slack and source line, and all that is late; from the earliest to the latest tick where a sweep moves
    it. Opens no instrument.
    """
    from qrt.commands import check as command

    found = command.check(program, lab_path, _values(inputs), on=on, silent=as_json, sweeps=sweeps, rounds=round)
    _finish(found, as_json=as_json)
    if found["late"]:
        sys.exit(command.LATE_STATUS)


@cli.command()
@click.argument("address", default="tcp://127.0.0.1:5557")
@as_json
def watch(*, address: str, as_json: bool) -> None:
    """Listen to a running lab, until Ctrl-C.

    With --json one object for each document.
    """
    from qrt.commands import watch as command

    command.watch(address, as_json=as_json)


@cli.command()
@click.argument("folder", metavar="RUN", type=click.Path())
@click.option("--verify", is_flag=True, help="End with status 1 unless every bit is the same.")
@click.option(
    "--against",
    metavar="RUN",
    type=click.Path(),
    help="Compare with another run, name the first difference. Status 1 if there is one.",
)
@click.option(
    "--recompute",
    is_flag=True,
    help="Compute the estimates again from the recorded rows. Status 1 if a number is not within 1e-9.",
)
@as_json
def replay(*, folder: str, verify: bool, against: str | None, recompute: bool, as_json: bool) -> None:
    """Execute a recorded run again and compare."""
    from qrt.commands import replay as command
    from qrt.commands.screen import Screen

    if verify + recompute + (against is not None) > 1:
        raise click.UsageError("--verify, --against and --recompute ask different things: give one of them")
    screen = Screen(silent=as_json)
    found: Any
    if against is not None:
        found = command.against(folder, against, screen)
    elif recompute:
        found = command.computed(folder, screen)
    else:
        found = command.again(folder, screen)
    _finish(found, as_json=as_json)
    if not found.same and (verify or recompute or against is not None):
        sys.exit(1)


@cli.command()
@click.option("--lab", "lab_path", type=click.Path(), help="Check this lab's stream address and run folder.")
@as_json
def doctor(*, lab_path: str | None, as_json: bool) -> None:
    """Say what this machine allows, with fixes."""
    from qrt.commands import doctor as command

    found = command.doctor(lab_path, silent=as_json)
    _finish(found, as_json=as_json)
    if found["status"] == "fail":
        sys.exit(7)


@cli.group()
def new() -> None:
    """Write a file to start from."""


@new.command()
@click.argument("name")
@click.option("--path", type=click.Path(), help="Where to write it (NAME.py, here).")
@as_json
def controller(*, name: str, path: str | None, as_json: bool) -> None:
    """Write a feedback law that works as it is.

    Its file is then named in a lab's [controllers.<name>] or after --controller.
    """
    from qrt.commands import new as command

    written = command.controller(name, path)
    if not as_json:
        click.echo(
            f'{written["path"]} is a law that works; change its equation, and use it as law = "{written["path"]}"'
        )
    _finish(written, as_json=as_json)


def _values(inputs: tuple[str, ...]) -> dict[str, float]:
    """Return NAME=VALUE pairs as a mapping."""
    values: dict[str, float] = {}
    for text in inputs:
        name, separator, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            separator = ""
            number = 0.0
        if not separator or not name.isidentifier():
            raise click.BadParameter(
                f"{text!r} is not NAME=VALUE with a number, as in --input theta=1.57", param_hint="--input"
            )
        if name in values:
            raise click.BadParameter(f"{name} is given twice", param_hint="--input")
        values[name] = number
    return values


def _finish(result: Any, *, as_json: bool) -> None:
    """Print a command's result as one line of JSON, if that is wanted."""
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(result).decode())


def main() -> None:
    """Run the command; the entry point."""
    cli(prog_name="qrt")


if __name__ == "__main__":
    main()
