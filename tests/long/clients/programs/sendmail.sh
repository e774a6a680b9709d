# debian: sendmail-bin sendmail-cf m4
# alone
# The submission program alone: the relay is the host that it hands mail to.
cat > submit.mc <<MC
include(\`/usr/share/sendmail/cf/m4/cf.m4')dnl
VERSIONID(\`for the relay')dnl
define(\`confCF_VERSION', \`Submit')dnl
define(\`__OSTYPE__',\`')dnl
define(\`_USE_DECNET_SYNTAX_', \`1')dnl
define(\`confTIME_ZONE', \`USE_TZ')dnl
define(\`confDONT_INIT_GROUPS', \`True')dnl
define(\`SUBMIT_MAILER_PORT', \`$PORT')dnl
define(\`RELAY_MAILER_ARGS', \`TCP \$h $PORT')dnl
define(\`ESMTP_MAILER_ARGS', \`TCP \$h $PORT')dnl
define(\`SMTP_MAILER_ARGS', \`TCP \$h $PORT')dnl
FEATURE(\`msp', \`[$HOST]', \`MSA')dnl
MC
m4 -D_CF_DIR_=/usr/share/sendmail/cf/ submit.mc > /etc/mail/submit.cf
sed -i "s/TCP \$h 587/TCP \$h $PORT/" /etc/mail/submit.cf
# What the package makes when it is set up.
mkdir -p /var/spool/clientmqueue && chown smmsp:smmsp /var/spool/clientmqueue && chmod 2770 /var/spool/clientmqueue
/usr/sbin/sendmail -Ac -f "$FROM" "$TO" < "$MESSAGE"
