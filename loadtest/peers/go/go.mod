module fibcgi.example/peer

go 1.25
