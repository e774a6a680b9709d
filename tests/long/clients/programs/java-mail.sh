# debian: default-jdk-headless libmail-java
cat > Send.java <<'JAVA'
import javax.mail.*;
import javax.mail.internet.*;

public class Send {
    public static void main(String[] words) throws Exception {
        java.util.Properties settings = new java.util.Properties();
        settings.put("mail.smtp.host", System.getenv("HOST"));
        settings.put("mail.smtp.port", System.getenv("PORT"));
        MimeMessage message = new MimeMessage(Session.getInstance(settings));
        message.setFrom(new InternetAddress(System.getenv("FROM")));
        message.setRecipients(Message.RecipientType.TO, System.getenv("TO"));
        message.setSubject(System.getenv("SUBJECT"));
        message.setText(System.getenv("BODY"));
        Transport.send(message);
    }
}
JAVA
jars=/usr/share/java/javax.mail.jar:/usr/share/java/javax.activation.jar:/usr/share/java/activation.jar
java -cp "$jars" Send.java
