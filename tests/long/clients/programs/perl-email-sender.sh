# debian: libemail-sender-perl
perl -MEmail::Sender::Simple=sendmail -MEmail::Sender::Transport::SMTP -MEmail::Simple -e '
my $message = Email::Simple->create(
    header => [From => $ENV{FROM}, To => $ENV{TO}, Subject => $ENV{SUBJECT}], body => "$ENV{BODY}\n");
sendmail($message, {transport => Email::Sender::Transport::SMTP->new({host => $ENV{HOST}, port => $ENV{PORT}})});'
