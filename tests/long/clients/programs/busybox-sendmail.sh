# debian: busybox
busybox sendmail -S "$HOST:$PORT" -f "$FROM" "$TO" < "$MESSAGE"
