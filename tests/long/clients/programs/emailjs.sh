# npm: emailjs
cat > send.mjs <<'NODE'
import { SMTPClient } from "emailjs";
const { HOST, PORT, FROM, TO, SUBJECT, BODY } = process.env;
const client = new SMTPClient({ host: HOST, port: Number(PORT) });
await client.sendAsync({ text: BODY, from: FROM, to: TO, subject: SUBJECT });
NODE
node send.mjs
