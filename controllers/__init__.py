"""Feedback laws: pairs of pure functions (init, step), one law per file.

A law sees an observation and decides an action; it owns no thread, no clock and no instrument. Outside this folder it
is named by an entry point of the group qrt.controllers, never imported, so that a lab's own law is on equal terms
with ours.
"""
