# debian: swaks
swaks --server "$HOST:$PORT" --from "$FROM" --to "$TO" --h-Subject "$SUBJECT" --attach-body "$BODY"
