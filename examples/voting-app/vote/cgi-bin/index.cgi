#!/bin/sh
# Shows the page; a POST puts a vote into the queue.
answer() { # answer STATUS TEXT
    cat <<HTML
Status: $1
Content-Type: text/html

<!DOCTYPE html>
<title>$OPTION_A or $OPTION_B?</title>
<p>$2</p>
<form method="post" action="/cgi-bin/index.cgi">
<button name="choice" value="$OPTION_A">$OPTION_A</button>
<button name="choice" value="$OPTION_B">$OPTION_B</button>
</form>
HTML
    exit
}

[ "$REQUEST_METHOD" = POST ] || answer "200 OK" "What do you like better?"
body=$(head -c "${CONTENT_LENGTH:-0}")
choice=${body#choice=}
case $choice in
    "$OPTION_A" | "$OPTION_B") ;;
    *) answer "400 Bad Request" "That is no choice." ;;
esac
id=$(cat /proc/sys/kernel/random/uuid)
case $(printf 'RPUSH votes %s:%s\r\nQUIT\r\n' "$id" "$choice" | nc -w 5 queue 6379) in
    :*) answer "200 OK" "You voted for $choice." ;;
    *) answer "503 Service Unavailable" "Try again." ;;
esac
