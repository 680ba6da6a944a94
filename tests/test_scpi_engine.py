"""The instrument's side: headers, messages, parameters, status, blocks in the stream, and the invariant that no bytes raise."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrt.scpi import (
    Action,
    Boolean,
    Choice,
    Connection,
    Data,
    Instrument,
    Model,
    Number,
    Refusal,
    Setting,
    Text,
    write_block,
)
from qrt.scpi.faults import MESSAGES
from qrt.scpi.headers import HeaderTree, parse_pattern
from qrt.scpi.scanner import MESSAGE_SIZE_MAX, Scanner
from qrt.scpi.status import QUEUE_DEPTH

BLOCK_SIZE_MAX = 300


def _keep(instrument, call):
    instrument.memory[call.suffixes[0], call.values[0]] = call.values[1]


def _give(instrument, call):
    try:
        return instrument.memory[call.suffixes[0], call.values[0]]
    except KeyError:
        raise Refusal(-224, "nothing there") from None


def _conflict(instrument, suffixes, value):
    if value and instrument.value("amplitude", *suffixes) > 4:
        raise Refusal(-221, "too loud")


TYPE = Model(
    manufacturer="Q-RT",
    name="TYPE",
    firmware="1.0",
    suffix_max=2,
    block_size_max=BLOCK_SIZE_MAX,
    entries=(
        Setting("[SOURce<n>]:VOLTage[:LEVel][:IMMediate][:AMPLitude]", "amplitude", Number(0.0, 5.0, 1.0, "V"), 0.5),
        Setting("[SOURce<n>]:VOLTage[:LEVel][:IMMediate]:OFFSet", "offset", Number(-1.0, 1.0, 0.0, "V"), 0.0),
        Setting("[SOURce<n>]:FREQuency[:CW]", "frequency", Number(1.0, 1e10, 1e3, "HZ"), 1e3),
        Setting("OUTPut<n>[:STATe]", "output", Boolean(), initial=False, guard=_conflict),
        Setting("OUTPut<n>:LOAD", "load", Number(1.0, 1e4, 50.0, "OHM"), 50.0),
        Setting("[SOURce]:ROSCillator:SOURce", "clock", Choice(("INTernal", "EXTernal")), "INT"),
        Setting("SYSTem:LABel", "label", Text(), ""),
        Setting("COUNt", "count", Number(0, 1e9, whole=True), 0),
        Action("TRACe<n>[:DATA]", _keep, (Number(0, 9, whole=True), Data())),
        Action("TRACe<n>[:DATA]?", _give, (Number(0, 9, whole=True),)),
    ),
)


def connect() -> Connection:
    connection = Connection(Instrument(TYPE, "1"))
    connection.receive(b"*CLS\n")
    return connection


def ask(connection: Connection, message: bytes) -> bytes:
    """Feed whole, byte by byte and with a tail; the three must answer the same. Then apply it to the connection."""
    answers = []
    for pieces in ([message], [message[k : k + 1] for k in range(len(message))]):
        twin = Connection(Instrument(TYPE, "1"))
        twin.instrument.__dict__ |= connection.instrument.__dict__ | {
            "values": dict(connection.instrument.values),
            "memory": dict(connection.instrument.memory),
            "status": Instrument(TYPE, "1").status,
        }
        twin.instrument.status.__dict__ |= connection.instrument.status.__dict__
        twin.instrument.status._errors = connection.instrument.status._errors.copy()
        answers.append(
            (b"".join(map(twin.receive, pieces)), list(twin.instrument.status._errors), twin.instrument.values)
        )
    assert answers[0] == answers[1]
    answer = connection.receive(message)
    assert answer == answers[0][0]
    return answer


def errors(connection: Connection) -> list[int]:
    reply = connection.receive(b"SYST:ERR:CODE:ALL?\n").decode()
    return [int(code) for code in reply.split(",")]


@pytest.mark.parametrize(
    "header",
    [
        "SOURce1:VOLTage:LEVel:IMMediate:AMPLitude", "source1:voltage:level:immediate:amplitude", "SOUR:VOLT", "VOLT",
        ":VOLT", ":Sour1:Volt:Ampl", "VOLT:LEV", "VOLTAGE:IMM:AMPL", "sOuR1:vOLTAGE",
    ],
)  # fmt: skip
def test_every_spelling_is_one_header(header: str) -> None:
    connection = connect()
    assert ask(connection, f"{header} 2.5;:VOLT?\n".encode()) == b"2.5\n"
    assert ask(connection, f"{header}?\n".encode()) == b"2.5\n"


@pytest.mark.parametrize("header", ["VOLTA", "VO", "SOURC1:VOLT", "VOLT:AMP", "SOUR1", "FOO", "VOLT1"])
def test_what_is_no_spelling_is_undefined(header: str) -> None:
    connection = connect()
    assert ask(connection, f"{header} 1\n".encode()) == b""
    assert errors(connection) == [-113]


def test_suffixes_choose_the_channel_and_have_a_range() -> None:
    connection = connect()
    assert ask(connection, b"SOUR2:VOLT 2;:SOUR2:VOLT?;:VOLT?\n") == b"2.0;0.5\n"
    for suffix in (b"0", b"3", b"99999999999999999999"):
        assert ask(connection, b"SOUR" + suffix + b":VOLT 1\n") == b""
        assert errors(connection) == [-114]


def test_a_header_continues_at_the_level_of_the_one_before() -> None:
    connection = connect()
    assert ask(connection, b"SOUR2:VOLT:AMPL 3;OFFS 0.25;*WAI;OFFS?;:SOUR2:VOLT?\n") == b"0.25;3.0\n"
    assert ask(connection, b"SOUR2:VOLT:AMPL 3;VOLT:OFFS 0.5\n") == b""
    assert errors(connection) == [-113]
    assert ask(connection, b"SOUR2:VOLT 1;\n;;FREQ?\n") == b"1000.0\n"
    assert errors(connection) == [0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", b"2.0"), ("+2.", b"2.0"), (".5", b"0.5"), ("5E-1", b"0.5"), ("5 e -1", b"0.5"), ("0.5V", b"0.5"), ("500 mv", b"0.5"),
        ("5e5UV", b"0.5"), ("MAX", b"5.0"), ("minimum", b"0.0"), ("DEF", b"1.0"), ("#H3", b"3.0"), ("#b11", b"3.0"), ("#Q5", b"5.0"),
    ],
)  # fmt: skip
def test_numbers(text: str, value: bytes) -> None:
    connection = connect()
    assert ask(connection, f"VOLT {text};VOLT?\n".encode()) == value + b"\n"
    assert errors(connection) == [0]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("5.1", -222), ("-1", -222), ("1e999", -222), ("1e99999", -123), ("1" * 256, -124), ("1A", -131), ("1HZ", -131), ("x", -104),
        ("1.2.3", -121), ("#HG", -121), ("#H", -121), ("#H1_0", -121), ("", -109), ("1,2", -108), ("1,", -102), (",", -102), ('"1"', -104),
        ("INF", -104), ("NAN", -104), ("#11x", -168),
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing(text: str, code: int) -> None:
    connection = connect()
    assert ask(connection, f"VOLT {text}\n".encode()) == b""
    assert errors(connection) == [code]
    assert ask(connection, b"VOLT?\n") == b"0.5\n"


def test_units_of_frequency_and_resistance_take_m_for_mega() -> None:
    connection = connect()
    assert (
        ask(connection, b"FREQ 5MHZ;FREQ?;FREQ 5 GHz;FREQ?;:OUTP:LOAD 0.001MOHM;:OUTP:LOAD?\n")
        == b"5000000.0;5000000000.0;1000.0\n"
    )
    assert ask(connection, b"COUN 1V\n") == b""
    assert errors(connection) == [-138]


def test_limits_can_be_asked_for() -> None:
    assert ask(connect(), b"VOLT? MAX;VOLT? MIN;VOLT? DEF\n") == b"5.0;0.0;1.0\n"


def test_booleans_choices_and_text() -> None:
    connection = connect()
    for word, reply in ((b"ON", b"1"), (b"off", b"0"), (b"1", b"1"), (b"0.4", b"0")):
        assert ask(connection, b"OUTP2 " + word + b";:OUTP2?\n") == reply + b"\n"
    assert ask(connection, b"ROSC:SOUR external;SOUR?\n") == b"EXT\n"
    assert ask(connection, b"SYST:LAB 'a;b \"#15,c''d';LAB?\n") == b'"a;b ""#15,c\'d"\n'
    assert errors(connection) == [0]
    assert ask(connection, b"OUTP MAYBE\nROSC:SOUR BOTH\nSYST:LAB bare\nSYST:LAB 'open\n") == b""
    assert errors(connection) == [-104, -141, -104, -151]


def test_a_settings_conflict_is_the_models_own() -> None:
    connection = connect()
    assert ask(connection, b"VOLT 4.5;:OUTP ON;:OUTP?\n") == b"0\n"
    assert errors(connection) == [-221]


def test_a_block_is_kept_whole_whatever_is_in_it() -> None:
    data = b";\n\"'#15:*RST\r\n\xff\x00," + bytes(range(256))
    connection = connect()
    assert ask(connection, b"VOLT 2;:TRAC2:DATA 3," + write_block(data) + b";:VOLT?\n") == b"2.0\n"
    assert ask(connection, b"TRAC2? 3;*IDN?\n") == write_block(data) + b";Q-RT,TYPE,1,1.0\n"
    assert errors(connection) == [0]


@pytest.mark.parametrize("between", [b"", b"\n", b";:", b"  ;", b"\r\n", b"\n\n"])
def test_a_block_ends_its_unit_with_or_without_a_newline(between: bytes) -> None:
    connection = connect()
    assert ask(connection, b"TRAC 1,#15abcde" + between + b"TRAC? 1\n") == b"#15abcde\n"
    assert errors(connection) == [0]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"TRAC 1,#0abc\n", -161), (b"TRAC 1,#2 1abc\n", -161), (b"TRAC 1,#3301" + b":" * 301 + b"\n", -223), (b"TRAC 1,abc\n", -104),
        (b"TRAC 1,#13abc,2\n", -103), (b"TRAC #13abc\n", -109), (b"TRAC 1#13abc\n", -109), (b"TRAC? #13abc\n", -168),
    ],
)  # fmt: skip
def test_wrong_blocks(message: bytes, code: int) -> None:
    connection = connect()
    assert ask(connection, message) == b""
    assert errors(connection)[0] == code
    assert connection.instrument.memory == ({} if code != -103 else {(1, 1): b"abc"})
    assert ask(connection, b"*IDN?\n").startswith(b"Q-RT")


def test_data_of_a_block_that_is_too_large_is_never_taken_for_commands() -> None:
    connection = connect()
    data = b"\nOUTP ON\nOUTP2 ON\n".ljust(BLOCK_SIZE_MAX + 50, b"\n")
    assert ask(connection, b"TRAC 1," + write_block(data) + b"\nOUTP?;:OUTP2?\n") == b"0;0\n"
    assert errors(connection) == [-223]


def test_end_completes_a_message_as_a_newline_does() -> None:
    connection = connect()
    assert connection.receive(b"VOLT?;*IDN?", end=True) == b"0.5;Q-RT,TYPE,1,1.0\n"
    assert connection.receive(b"TRAC 1,#15abc", end=True) == b""
    assert errors(connection) == [-161]
    assert connection.receive(b"TRAC? 1;TRAC 1,#15abcde", end=True) == b""
    assert errors(connection) == [-224]
    assert connection.receive(b"TRAC? 1", end=True) == b"#15abcde\n"


def test_a_device_clear_forgets_what_is_half_said() -> None:
    connection = connect()
    connection.receive(b"OUTP ON;:TRAC 1,#9000000300")
    connection.clear()
    assert connection.receive(b"OUTP?\n") == b"1\n"


def test_connections_share_the_instrument_and_nothing_else() -> None:
    first = connect()
    second = Connection(first.instrument)
    assert first.receive(b"VOLT 3;VOL") == b""
    assert second.receive(b"VOLT?\n") == b"3.0\n"
    assert first.receive(b"T?\n") == b"3.0\n"


def test_status_registers() -> None:
    instrument = Instrument(TYPE, "1")
    connection = Connection(instrument)
    assert connection.receive(b"*ESR?;*ESR?\n") == b"128;0\n"
    assert connection.receive(b"*ESE 32;*SRE 255;*ESE?;*SRE?;*STB?\n") == b"32;191;80\n"
    connection.receive(b"FOO\nVOLT 9\n*OPC\n")
    assert connection.receive(b"*STB?\n") == b"100\n"  # request, event summary, error queue
    assert connection.receive(b"*ESR?\n") == b"49\n"  # command, execution, complete
    assert connection.receive(b"SYST:ERR?;ERR?;ERR?\n") == (
        b'-113,"Undefined header;FOO";-222,"Data out of range;9 is not in 0.0 to 5.0";0,"No error"\n'
    )
    assert connection.receive(b"*CLS;*STB?;*OPC?;*TST?;*OPT?;*WAI;SYST:VERS?\n") == b"0;1;0;0;1999.0\n"
    assert connection.receive(b"*ESE 256\n*ESE -1\n*IDN\n*RST?\n*IDN? 1\n") == b""
    assert errors(connection) == [-222, -222, -113, -113, -108]


def test_the_error_queue_overflows_visibly() -> None:
    connection = connect()
    connection.receive(b"FOO\n" * (QUEUE_DEPTH + 7))
    assert connection.receive(b"SYST:ERR:COUN?\n") == b"%d\n" % QUEUE_DEPTH
    assert errors(connection) == [-113] * (QUEUE_DEPTH - 1) + [-350]
    assert connection.instrument.status.lost_count == 7
    assert errors(connection) == [0]


def test_reset_brings_every_setting_back() -> None:
    connection = connect()
    connection.receive(b"VOLT 3;:OUTP2 ON;:TRAC 1,#11a\n*RST\n")
    assert connection.instrument.values == TYPE.initial
    assert connection.instrument.memory == {}


def test_lines_are_bounded() -> None:
    connection = connect()
    assert ask(connection, b"VOLT " + b" " * MESSAGE_SIZE_MAX + b"1\nVOLT?\n") == b"0.5\n"
    assert errors(connection) == [-363]
    assert ask(connection, b"VOLT " + b" " * (MESSAGE_SIZE_MAX - 6) + b"1;\nVOLT?\n") == b"0.5\n"
    assert errors(connection) == [-363]
    assert ask(connection, b"VOLT " + b" " * (MESSAGE_SIZE_MAX - 6) + b"1\nVOLT?\n") == b"1.0\n"
    scanner = Scanner(0)
    for _ in range(100):
        list(scanner.feed(b"#" * 1000))
    assert len(scanner._text) <= MESSAGE_SIZE_MAX


def test_an_instrument_without_blocks_is_not_made_deaf_by_one() -> None:
    connection = Connection(
        Instrument(Model("Q-RT", "PLAIN", "1", (Setting("OUTPut", "output", Boolean(), initial=False),)), "1")
    )
    assert connection.receive(b"OUTP #9999999999\n*IDN?\n") == b"Q-RT,PLAIN,1,1\n"
    assert errors(connection) == [-168]


def test_two_patterns_for_one_header_are_found_when_the_table_is_built() -> None:
    tree: HeaderTree[str] = HeaderTree()
    tree.add("[SOURce<n>]:VOLTage", "first")
    with pytest.raises(AssertionError):
        tree.add("VOLTage[:LEVel]", "second")
    assert [node.word for node in parse_pattern("[SOURce<n>]:VOLTage[:LEVel]")] == ["SOURce", "VOLTage", "LEVel"]


WORDS = b"VOLT OUTP ? ; : , # #15abcde #3301 *RST *ESE? TRAC SYST:ERR? 1e9 MAX SOUR99999999999: 5MHZ #H #0 1E - . \" '".split()
FRAGMENTS = st.one_of(st.sampled_from([*WORDS, b" ", b"\n", b"TRAC 1,", b"\xff", b"\x00"]), st.binary(max_size=12))


@given(st.lists(FRAGMENTS, max_size=30).map(b"".join), st.lists(st.integers(1, 9), max_size=30))
def test_any_bytes_parse_or_put_an_error_into_the_queue(stream: bytes, sizes: list[int]) -> None:
    whole, cut = connect(), connect()
    answer, pieces, position = whole.receive(stream), b"", 0
    for size in [*sizes, len(stream)]:
        pieces += cut.receive(stream[position : position + size])
        position += size
    assert pieces == answer
    assert cut.instrument.values == whole.instrument.values
    assert list(cut.instrument.status._errors) == list(whole.instrument.status._errors)
    assert all(code in MESSAGES for code, _ in whole.instrument.status._errors)
    whole.receive(b"", end=True)
    whole.clear()
    assert re.fullmatch(rb'-?\d+,"[ -~]*"\n', whole.receive(b"SYST:ERR?\n"))


@given(st.binary(max_size=40))
def test_a_message_that_is_not_understood_leaves_an_error(garbage: bytes) -> None:
    connection = connect()
    before = dict(connection.instrument.values)
    connection.receive(b"\x7f" + garbage.replace(b"\n", b"").replace(b";", b""), end=True)
    assert errors(connection)[0] < 0
    assert connection.instrument.values == before
