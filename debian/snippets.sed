# The snippets say how they get to where the package has put them already.
s/^#   copy it to [^;]*; a2enmod proxy_fcgi; a2enconf fibcgi-unix$/#   a2enconf fibcgi/
s/^#   copy it to [^;]*; /#   /
