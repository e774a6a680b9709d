# debian: postfix
# alone
# As a satellite system, which Debian's installer offers: relayhost is the only setting.
postconf -e "relayhost = [$HOST]:$PORT" 'mydestination =' 'inet_interfaces =' 'myhostname = nas.example.com' \
    'smtp_tls_security_level = may' 'maillog_file = /dev/stdout' 'compatibility_level = 3.6'
sed -i '/^smtp .*inet/d' /etc/postfix/master.cf
postfix start
sendmail -f "$FROM" "$TO" < "$MESSAGE"
sleep 4
postfix stop
