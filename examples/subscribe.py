"""Listen to a run with nothing but zmq, msgpack and numpy: prints estimates as they come. `python subscribe.py [address]`.

Message: topic, header (msgpack), body (msgpack), then one frame per array, which the body names as {"__nd__": k, "dtype", "shape"}.
Subscribing by prefix picks a run or a stream: `run/`, `run/<uid>/estimates/`. Ends with the run's `stop` document.
"""

import sys

import msgpack
import numpy as np
import zmq


def with_arrays(value: object, frames: list[bytes]) -> object:
    """Return `value` with numpy arrays in place of the maps that stand for them."""
    if isinstance(value, dict):
        if "__nd__" in value:
            return np.frombuffer(frames[value["__nd__"]], value["dtype"]).reshape(value["shape"])
        return {key: with_arrays(item, frames) for key, item in value.items()}
    return [with_arrays(item, frames) for item in value] if isinstance(value, list) else value


def main(address: str) -> None:
    """Print what the publisher says until its run ends."""
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.MAXMSGSIZE, 1 << 24)
    socket.setsockopt_string(zmq.SUBSCRIBE, "run/")
    socket.connect(address)
    print(f"listening to {address}", flush=True)
    last_seq, skipped, shots = {}, 0, 0
    while True:
        topic, header, body, *buffers = socket.recv_multipart()
        header = msgpack.unpackb(header)
        document = with_arrays(msgpack.unpackb(body), buffers)
        # Numbers of a topic have no gaps: a jump is what this listener was too slow for.
        skipped += header["seq"] - last_seq.get(topic, header["seq"] - 1) - 1
        last_seq[topic] = header["seq"]
        if header["doc"] == "event_page":
            shots += len(document["data"]["shot"])
        elif header["doc"] == "estimate":
            stderr = sum(error**2 for error in document["stderr"].values()) ** 0.5
            print(
                f"{document['name']:>12} = {document['value']:+.5f} +- {stderr:.5f}   ({shots} shots, {skipped} skipped)"
            )
        elif header["doc"] != "heartbeat":
            print(f"{header['doc']}: run {header['run']}, {header['durable_shot']} shots on disk")
        sys.stdout.flush()
        if header["doc"] == "stop":
            reason = f": {document['reason']}" if document["reason"] else ""
            print(f"{document['exit_status']}{reason} (digest {document['digest'][:16]})", flush=True)
            return


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5557")
