#!/bin/sh
# A vote leaves the queue once the database has it. A worker that is stopped in between finds it again, and as each has an
# id, storing it twice changes nothing. Between reading and removing nobody else may take one: so there is one worker.
set -u
PGPASSWORD=$(cat /run/secrets/pg_password)
export PGPASSWORD PGHOST=db PGUSER=postgres PGCONNECT_TIMEOUT=5

talk() { # One postgres image has nc, another bash.
    if command -v nc >/dev/null; then
        nc -w 5 queue 6379
    else
        timeout 5 bash -c 'exec 3<>/dev/tcp/queue/6379; cat >&3; cat <&3'
    fi
}

queue() { printf '%s\r\nQUIT\r\n' "$*" | talk | tr -d '\r'; }

sql() { psql -qAt -F ' ' -v ON_ERROR_STOP=1 "$@"; }

store() { # store ID CHOICE
    sql -v id="$1" -v choice="$2" <<'SQL'
INSERT INTO votes VALUES (:'id', :'choice') ON CONFLICT DO NOTHING;
SQL
}

publish() { # The page never sees half a file.
    sql -c 'SELECT choice, count(*) FROM votes GROUP BY choice' >/tally/counts.new && mv /tally/counts.new /tally/counts
}

while :; do
    reply=$(queue LINDEX votes 0) # $-1 when it is empty, else the length and the vote
    vote=$(echo "$reply" | sed -n '/^\$[0-9]/{n;p;}')
    if [ -n "$vote" ] && store "${vote%%:*}" "${vote#*:}"; then
        queue LPOP votes >/dev/null
        publish
        echo "stored $vote"
    elif publish && [ -n "$reply" ]; then
        touch /tmp/alive
        sleep 1
    else
        sleep 1
    fi
done
