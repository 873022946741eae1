#!/bin/sh
# GET shows two buttons, POST puts a vote into the queue: "id:a" or "id:b".

answer() { # answer STATUS TEXT
    printf 'Status: %s\r\nContent-Type: text/html\r\n\r\n<!DOCTYPE html>\n<title>vote</title>\n%s\n' "$1" "$2"
    exit
}

if [ "$REQUEST_METHOD" != POST ]; then
    answer '200 OK' "<form method=post>
<button name=vote value=a>$OPTION_A</button>
<button name=vote value=b>$OPTION_B</button>
</form>"
fi
case "$(head -c 7)" in
    vote=a) choice=a ;;
    vote=b) choice=b ;;
    *) answer '400 Bad Request' 'send vote=a or vote=b' ;;
esac
queued=$(printf 'RPUSH votes %s:%s\r\nQUIT\r\n' "$(cat /proc/sys/kernel/random/uuid)" "$choice" | nc queue 6379)
case "$queued" in
    :*) printf 'Status: 303 See Other\r\nLocation: /\r\n\r\n' ;;
    *) answer '503 Service Unavailable' 'the queue does not answer; try again' ;;
esac
