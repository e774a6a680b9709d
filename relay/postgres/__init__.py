"""The spool of several nodes, on PostgreSQL: all of psycopg is here.

    server       the address, TLS, connections, and what an error of the server means
    schema       the tables, and how one version becomes the next
    node         this node's row and its beat; the lease of the one node that sends
    clocks       this machine's clocks beside the database's
    board        what nodes tell each other of themselves
    room         the node's lock and scratch folder, and the limits
    incoming     the door's half of the contract
    recall       submissions that come again
    waiters      sessions that wait for a verdict
    writer       what is put, many messages to a commit
    content      octets in pieces: to the server by COPY, from it into a local file
    statements   single statements, each of which decides and changes at once
    scheduler    whose turn it is
    maintenance  old things removed
    queries      the operator's half of the contract
    search       messages by what a person knows of them
    outgoing     the courier's half of the contract
    engine       the contract as a whole: opened, elected, closed
    words        LISTEN and NOTIFY: shortcuts, and polling where they are not heard
    grants       the accounts' grants, sealed
    examine      what a server is like, for `relay check`; facts: what was found
    move         from the spool of one node

The database's clock alone decides what is early and late. Nothing here keeps state in a session of the
server, so that a pooler in transaction mode may stand between.
"""
