# debian: php-cli libphp-phpmailer
SSL_CERT_FILE=$CERTIFICATE php -r '
require "/usr/share/php/libphp-phpmailer/autoload.php";
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSMTP(); $mail->Host = getenv("HOST"); $mail->Port = (int)getenv("TLS_PORT");
$mail->SMTPAuth = true; $mail->Username = getenv("USER_NAME"); $mail->Password = getenv("PASSWORD");
$mail->SMTPSecure = PHPMailer\PHPMailer\PHPMailer::ENCRYPTION_STARTTLS;
$mail->setFrom(getenv("FROM")); $mail->addAddress(getenv("TO"));
$mail->Subject = getenv("SUBJECT"); $mail->Body = getenv("BODY");
$mail->send();'
