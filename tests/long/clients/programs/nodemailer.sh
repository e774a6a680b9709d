# npm: nodemailer
node -e '
const { HOST, PORT, FROM, TO, SUBJECT, BODY } = process.env;
require("nodemailer").createTransport({ host: HOST, port: Number(PORT) })
  .sendMail({ from: FROM, to: TO, subject: SUBJECT, text: BODY })
  .catch(error => { console.error(error); process.exit(1); });
'
