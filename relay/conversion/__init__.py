"""Conversion of messages in a process of its own, that can be limited and killed.

A thread would do it in the same time, but Python runs one thread at a time: whatever a message makes of its
parser, sessions would wait for it. And a process has limits of memory and of time that a thread has not.

The process reads what strangers wrote, so nothing is believed that it says: it is told what to convert by an
open descriptor, and answers with texts and ranges that are checked. Who the recipients are is never asked.

pool     the event loop's side: starts processes, asks them, ends them
turns    whose message is next: sources take turns at the processes
process  how one is started, and what is said to it
answer   what it may answer
confine  what it may not do
child    the process
"""
