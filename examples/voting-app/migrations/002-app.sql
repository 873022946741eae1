-- The role of worker and tally. It gets the password that the secret holds now.
SELECT 'CREATE ROLE app LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') \gexec
\set password `cat /run/secrets/app_password`
ALTER ROLE app PASSWORD :'password';
GRANT SELECT, INSERT ON votes TO app;
