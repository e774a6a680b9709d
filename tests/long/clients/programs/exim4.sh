# debian: exim4-daemon-light
# alone
# "mail sent by smarthost; no local mail", as dpkg-reconfigure writes it.
cat > /etc/exim4/update-exim4.conf.conf <<CONF
dc_eximconfig_configtype='satellite'
dc_other_hostnames='nas.example.com'
dc_local_interfaces='127.0.0.1'
dc_readhost='example.com'
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets=''
dc_smarthost='$HOST::$PORT'
CFILEMODE='644'
dc_use_split_config='false'
dc_hide_mailname='true'
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
CONF
# It keeps from sending to itself by the address, which here is the relay's too.
sed -i 's/self = send/self = send/; s/ignore_target_hosts = ROUTER_DNSLOOKUP_IGNORE_TARGET_HOSTS//' /etc/exim4/exim4.conf.template
sed -i '/^  driver = manualroute/a\  self = send' /etc/exim4/exim4.conf.template
sed -i 's/^  driver = smtp$/  driver = smtp\n  allow_localhost/' /etc/exim4/exim4.conf.template
update-exim4.conf
exim4 -f "$FROM" -odf "$TO" < "$MESSAGE"
sleep 1
