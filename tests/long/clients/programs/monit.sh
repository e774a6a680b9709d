# debian: monit
cat > monitrc <<RC
set daemon 2
set idfile $PWD/id
set statefile $PWD/state
set pidfile $PWD/pid
set mailserver $HOST port $PORT
set mail-format {
  from: $FROM
  subject: $SUBJECT
  message: $BODY
}
set alert $TO
check file here with path $PWD/nowhere
  if does not exist then alert
RC
chmod 600 monitrc
monit -vv -c "$PWD/monitrc" -I & daemon=$!
sleep 8
kill $daemon
