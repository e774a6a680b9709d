# debian: php-cli libphp-phpmailer
php -r '
require "/usr/share/php/libphp-phpmailer/autoload.php";
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSMTP(); $mail->Host = getenv("HOST"); $mail->Port = (int)getenv("PORT");
$mail->setFrom(getenv("FROM")); $mail->addAddress(getenv("TO"));
$mail->Subject = getenv("SUBJECT"); $mail->Body = getenv("BODY");
$mail->send();'
