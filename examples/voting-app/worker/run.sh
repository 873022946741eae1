# Takes votes from the queue and puts them into the database. A vote goes to the end of
# the queue when it is taken, and leaves it only once the database has it: so none is lost.
set -eu
export PGHOST=db PGUSER=app PGDATABASE=postgres PGPASSWORD="$(cat /run/secrets/app_password)" PGCONNECT_TIMEOUT=3

# Sends a command to redis and prints the answer. One image has nc, the other a bash that opens sockets.
ask() {
    if command -v nc >/dev/null; then
        printf '%s\r\nQUIT\r\n' "$1" | nc queue 6379
    else
        bash -c 'exec 3<>/dev/tcp/queue/6379 && printf "%s\r\nQUIT\r\n" "$1" >&3 && cat <&3' ask "$1"
    fi | tr -d '\r'
}

while :; do
    vote=$(ask 'LMOVE votes votes LEFT RIGHT' | sed -n '/:/p') # "id:choice", or nothing
    if [ -z "$vote" ]; then
        sleep 0.3
    elif psql -qX -v ON_ERROR_STOP=1 -v id="${vote%:*}" -v choice="${vote#*:}" -f /worker/count.sql; then
        ask "LREM votes 1 $vote" >/dev/null
        echo "counted $vote"
    else
        sleep 1 # the database is away; the vote waits in the queue
    fi
done
