INSERT INTO votes (id, choice) VALUES (:'id', :'choice') ON CONFLICT (id) DO NOTHING;
