# debian: perl
perl -MNet::SMTP -e '
my $smtp = Net::SMTP->new($ENV{HOST}, Port => $ENV{PORT}) or die "no connection";
$smtp->mail($ENV{FROM}) && $smtp->to($ENV{TO}) or die $smtp->message;
$smtp->data("From: $ENV{FROM}\nTo: $ENV{TO}\nSubject: $ENV{SUBJECT}\n\n$ENV{BODY}\n") or die $smtp->message;
$smtp->quit;'
