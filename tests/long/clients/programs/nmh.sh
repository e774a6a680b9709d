# debian: nmh
mkdir -p Mail && printf 'Path: Mail\n' > .mh_profile
cp "$MESSAGE" draft
/usr/bin/mh/send -mts smtp -server "$HOST" -port "$PORT" "$PWD/draft"
