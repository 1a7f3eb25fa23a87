"""HTTP/1.1 messages that two readers could read in two ways: the tables of cases, and the readers that judge them.

Nothing here shares a line with the proxy: the readers are strict, small, and know only what the RFCs say.
"""
