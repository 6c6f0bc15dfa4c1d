"""Batsim's JSON, both directions of both messages.

The simulator's half (requests written, replies read strictly) is ``simulator_side``, the decision process's
half is ``decision_side``.
"""

from batfs.protocol.decision_side import ProtocolError, decode_request, encode_reply
from batfs.protocol.simulator_side import decode_reply, encode_request

__all__ = ["ProtocolError", "decode_reply", "decode_request", "encode_reply", "encode_request"]
