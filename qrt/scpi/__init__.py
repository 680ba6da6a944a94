"""SCPI and IEEE 488.2 as pure objects, for both ends of the cable: bytes and times in, bytes and decisions out.

Nothing here opens a socket, starts a thread, reads a clock or a file; time is always an argument. What lives where:

    blocks     definite-length blocks, read strictly and in pieces, written            both ends
    numbers    the decimal grammar, over-range and not-a-number, booleans              both ends
    session    the client: states, fence, poison, retries, counters                    our side
    scanner    a byte stream cut into program message units, blocks kept whole         the instrument's side
    arguments  kinds of parameters: numbers with units, booleans, choices, text
    headers    patterns such as `[SOURce<n>]:VOLTage[:LEVel]`, as a tree
    status     IEEE 488.2 status bytes and the error queue
    table      a model as data: settings and actions under their headers; an instrument of it
    engine     connections: what a message does to an instrument, and what it answers

A real dialect is added as a table; the engine does not change.
"""

from qrt.scpi.arguments import Boolean, Choice, Number, Text
from qrt.scpi.blocks import BlockReader, read_block, write_block
from qrt.scpi.engine import Connection
from qrt.scpi.faults import Refusal, ReplyError
from qrt.scpi.numbers import read_boolean, read_integer, read_number, write_number
from qrt.scpi.session import (
    BlockReply,
    Clear,
    Counters,
    Done,
    Failed,
    LineReply,
    Receive,
    Request,
    Send,
    Session,
    State,
)
from qrt.scpi.table import Action, Call, Data, Instrument, Model, Setting

__all__ = [
    "Action",
    "BlockReader",
    "BlockReply",
    "Boolean",
    "Call",
    "Choice",
    "Clear",
    "Connection",
    "Counters",
    "Data",
    "Done",
    "Failed",
    "Instrument",
    "LineReply",
    "Model",
    "Number",
    "Receive",
    "Refusal",
    "ReplyError",
    "Request",
    "Send",
    "Session",
    "Setting",
    "State",
    "Text",
    "read_block",
    "read_boolean",
    "read_integer",
    "read_number",
    "write_block",
    "write_number",
]
