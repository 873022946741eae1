#!/bin/sh
# The server takes the password from the secret at each start; by itself it would do so only when it makes its data. So a
# new secret and an apply are all that a rotation needs.
(
    (
        until psql -qU postgres -v ON_ERROR_STOP=1 -v password="$(cat /run/secrets/pg_password)" <<'SQL'
ALTER ROLE postgres PASSWORD :'password';
SQL
        do sleep 0.2; done 2>/dev/null
    ) &
)
exec docker-entrypoint.sh postgres
