"""The far side: the Works API and its authorization server; all of HTTP out lives here.

oauth        the authorization server's token endpoint
grants       an account's tokens, and where they are kept
authorizer   a live access token for an account: refreshed ahead, one refresh at a time
consent      how a person gives the relay a grant
client       the send-mail call, and what is known about it when it breaks
stream       one connection: what left this machine, what came back
diagnosis    an answer, or none, as an Outcome: one table
pacing       budgets for the domain and for each mailbox
circuit      when the API is down, and when an account is
"""
