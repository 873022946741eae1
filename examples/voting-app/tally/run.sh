# Writes the page anew every second. While the database is away, the last one stays.
set -eu
export PGHOST=db PGUSER=app PGDATABASE=postgres PGPASSWORD="$(cat /run/secrets/app_password)" PGCONNECT_TIMEOUT=3
while :; do
    if table=$(psql -qXH -v ON_ERROR_STOP=1 -v a="$OPTION_A" -v b="$OPTION_B" -f /tally/count.sql); then
        printf '<!DOCTYPE html>\n<title>result</title>\n<meta http-equiv="refresh" content="2">\n%s\n' "$table" >/pages/new
        mv /pages/new /pages/index.html
    fi
    sleep 1
done
