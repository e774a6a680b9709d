"""The operator's window: one read-only page, metrics, and the two health questions.

`server` serves any ASGI application inside the relay's own event loop; the sandbox uses it too.
"""
