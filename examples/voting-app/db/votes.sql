CREATE TABLE IF NOT EXISTS votes (id text PRIMARY KEY, choice text NOT NULL);
