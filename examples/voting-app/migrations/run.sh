# Runs all migrations in order. Each is written so that it can run again.
set -eu
export PGHOST=db PGUSER=postgres PGPASSWORD="$(cat /run/secrets/pg_password)"
for file in /migrations/*.sql; do
    echo "running $file"
    psql -qX -v ON_ERROR_STOP=1 -f "$file"
done
