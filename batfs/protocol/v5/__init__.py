"""Batsim 5's messages: codecs of the records of ``batfs.protocol.messages`` in its JSON; no sockets here."""
