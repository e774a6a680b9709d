# debian: libmime-lite-perl
perl -MMIME::Lite -e '
my $message = MIME::Lite->new(From => $ENV{FROM}, To => $ENV{TO}, Subject => $ENV{SUBJECT}, Data => $ENV{BODY});
$message->send("smtp", $ENV{HOST}, Port => $ENV{PORT}) or die "not sent";'
