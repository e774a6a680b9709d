# debian: lua5.3 lua-socket
lua5.3 -e '
local smtp, get = require("socket.smtp"), os.getenv
local text = smtp.message{ headers = { from = get("FROM"), to = get("TO"), subject = get("SUBJECT") }, body = get("BODY") }
assert(smtp.send{ from = "<" .. get("FROM") .. ">", rcpt = "<" .. get("TO") .. ">", server = get("HOST"), port = get("PORT"), source = text })'
