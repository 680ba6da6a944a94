"""Speak the dialects of instruments: one driver a model, and the lab that opens them all.

    link     one instrument's session on its transport: commands, queries, set-then-verify
    switch   what every driver does: identify, go safe
    trigger  what every driver of an instrument with a trigger does: wait for triggers, abort
    awg2     Q-RT,AWG2      dig1  Q-RT,DIG1      source1  Q-RT,SRC1
    settings what sweeps set, and put back
    lab      every instrument of a lab, opened, configured, uploaded to, and safe at the end

A driver is found by its name in the lab's configuration, through the entry points of the group `qrt.drivers`.
"""
