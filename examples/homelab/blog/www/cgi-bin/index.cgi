#!/bin/sh
# The page counts its readers in the database.
count=$(printf 'INCR readers\r\nQUIT\r\n' | nc -w 5 db 6379 | tr -d '\r' | sed -n 's/^://p')
cat <<HTML
Status: $([ -n "$count" ] && echo 200 OK || echo 503 Service Unavailable)
Content-Type: text/html

<!DOCTYPE html>
<title>Blog</title>
<p>You are reader ${count:-?}.</p>
HTML
