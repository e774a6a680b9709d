# debian: s-nail
s-nail -n -S v15-compat -S mta="smtp://$HOST:$PORT" -S smtp-auth=none -S from="$FROM" -s "$SUBJECT" "$TO" <<< "$BODY"
