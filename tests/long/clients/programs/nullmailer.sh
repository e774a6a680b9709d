# debian: nullmailer
# alone
echo "$HOST smtp --port=$PORT" > /etc/nullmailer/remotes
echo nas.example.com > /etc/nullmailer/me
[ -p /var/spool/nullmailer/trigger ] || { rm -f /var/spool/nullmailer/trigger; mkfifo -m 622 /var/spool/nullmailer/trigger; }
chown -R mail:mail /var/spool/nullmailer
setpriv --reuid=mail --regid=mail --clear-groups nullmailer-send & sender=$!
nullmailer-inject -f "$FROM" "$TO" < "$MESSAGE"
sleep 5
kill $sender
