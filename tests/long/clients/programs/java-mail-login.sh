# debian: default-jdk-headless libmail-java
cat > Send.java <<'JAVA'
import javax.mail.*;
import javax.mail.internet.*;

public class Send {
    public static void main(String[] words) throws Exception {
        java.util.Properties settings = new java.util.Properties();
        settings.put("mail.smtp.host", System.getenv("HOST"));
        settings.put("mail.smtp.port", System.getenv("TLS_PORT"));
        settings.put("mail.smtp.auth", "true");
        settings.put("mail.smtp.starttls.required", "true");
        settings.put("mail.smtp.starttls.enable", "true");
        MimeMessage message = new MimeMessage(Session.getInstance(settings));
        message.setFrom(new InternetAddress(System.getenv("FROM")));
        message.setRecipients(Message.RecipientType.TO, System.getenv("TO"));
        message.setSubject(System.getenv("SUBJECT"));
        message.setText(System.getenv("BODY"));
        Transport.send(message, System.getenv("USER_NAME"), System.getenv("PASSWORD"));
    }
}
JAVA
keytool -importcert -noprompt -alias relay -file "$CERTIFICATE" -keystore trust.jks -storepass changeit
jars=/usr/share/java/javax.mail.jar:/usr/share/java/javax.activation.jar:/usr/share/java/activation.jar
java -Djavax.net.ssl.trustStore=trust.jks -Djavax.net.ssl.trustStorePassword=changeit -cp "$jars" Send.java
