"""The far side: the Works API and its authorization server; all of HTTP out lives here.

client       the send-mail call and the probe, and what is known about a call when it breaks
diagnosis    an answer, or none, as an Outcome: one table
http/        one exchange on httpcore: what left this machine, what came back; TLS; the proxy
auth/        an account's tokens: the authorization server, consent, refreshes ahead, where they are kept
pace/        budgets for the domain and for each mailbox; when the API is down, and when an account is
"""
