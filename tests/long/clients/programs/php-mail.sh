# debian: php-cli
php -n -d "sendmail_path=$SENDMAIL -t -i" -r 'exit(mail(getenv("TO"), getenv("SUBJECT"), getenv("BODY"), ["From" => getenv("FROM")]) ? 0 : 1);'
