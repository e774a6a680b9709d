# debian: msmtp-mta
# alone
printf 'account default\nhost %s\nport %s\nfrom %s\n' "$HOST" "$PORT" "$FROM" > /etc/msmtprc
/usr/sbin/sendmail -t -i < "$MESSAGE"
