# debian: postfix libsasl2-modules
# alone
postconf -e "relayhost = [$HOST]:$TLS_PORT" 'mydestination =' 'inet_interfaces =' 'myhostname = nas.example.com' \
    'smtp_tls_security_level = verify' 'smtp_tls_verify_cert_match = nexthop' "smtp_tls_CAfile = $CERTIFICATE" \
    'smtp_sasl_auth_enable = yes' 'smtp_sasl_security_options = noanonymous' 'smtp_sasl_password_maps = texthash:/etc/postfix/login' \
    'maillog_file = /dev/stdout' 'compatibility_level = 3.6'
echo "[$HOST]:$TLS_PORT $USER_NAME:$PASSWORD" > /etc/postfix/login
sed -i '/^smtp .*inet/d' /etc/postfix/master.cf
postfix start
sendmail -f "$FROM" "$TO" < "$MESSAGE"
sleep 6
postfix stop
