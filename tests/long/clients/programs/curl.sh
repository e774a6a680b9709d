# debian: curl
curl -sS "smtp://$HOST:$PORT" --mail-from "$FROM" --mail-rcpt "$TO" --upload-file "$MESSAGE"
