-- The id makes a vote count once, however often it is handed over.
CREATE TABLE IF NOT EXISTS votes (
    id uuid PRIMARY KEY,
    choice text NOT NULL CHECK (choice IN ('a', 'b')),
    at timestamptz NOT NULL DEFAULT now()
);
