# debian: ssmtp
# alone
printf 'root=postmaster\nmailhub=%s:%s\nhostname=nas.example.com\nFromLineOverride=YES\n' "$HOST" "$PORT" > /etc/ssmtp/ssmtp.conf
ssmtp "$TO" < "$MESSAGE"
