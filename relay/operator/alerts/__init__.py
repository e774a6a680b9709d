"""How trouble reaches a person beside mail: a URL, a command, Apprise, a LINE WORKS Bot.

alerts    each way on its own: what is told when, tried again, remembered over restarts
planning  pure: what of the troubles is to be told now, given what was
ways      the ways
memory    what was told, on disk
telling   whom nobody would tell, and a trial of all ways
"""
