"""Emulation: what makes a process behave like an edge node of a given size: its clock, its links, its work.

`clock` owns time, `links` put real bytes on the wire at a node's configured rate, `applications` occupy a node for as long
as its tasks need. Nothing here knows queues, policies or rules: it is told when something begins and tells when it ended.
"""
