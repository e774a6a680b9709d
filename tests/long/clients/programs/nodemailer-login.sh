# npm: nodemailer
NODE_EXTRA_CA_CERTS=$CERTIFICATE node -e '
const { HOST, TLS_PORT, USER_NAME, PASSWORD, FROM, TO, SUBJECT, BODY } = process.env;
require("nodemailer").createTransport({ host: HOST, port: Number(TLS_PORT), auth: { user: USER_NAME, pass: PASSWORD } })
  .sendMail({ from: FROM, to: TO, subject: SUBJECT, text: BODY })
  .catch(error => { console.error(error); process.exit(1); });
'
