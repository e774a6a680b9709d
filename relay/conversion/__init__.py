"""Conversion of large messages in a process of its own, that can be limited and killed.

A thread would do it in the same time, but Python runs one thread at a time: whatever a message makes of its
parser, sessions would wait for it. And a process has a limit of memory and of time that a thread has not.

pool     the event loop's side: starts them, asks them, ends them
process  how one is started
child    the process
"""
