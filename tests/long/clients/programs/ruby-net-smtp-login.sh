# debian: ruby
SSL_CERT_FILE=$CERTIFICATE ruby -rnet/smtp -e '
message = "From: #{ENV["FROM"]}\r\nTo: #{ENV["TO"]}\r\nSubject: #{ENV["SUBJECT"]}\r\n\r\n#{ENV["BODY"]}\r\n"
smtp = Net::SMTP.new(ENV["HOST"], ENV["TLS_PORT"].to_i)
smtp.enable_starttls
smtp.start("localhost", ENV["USER_NAME"], ENV["PASSWORD"], :login) { |one| one.send_message(message, ENV["FROM"], ENV["TO"]) }'
