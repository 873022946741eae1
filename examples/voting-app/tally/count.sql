\pset footer off
SELECT name AS option, count(id) AS votes
FROM (VALUES ('a', :'a'), ('b', :'b')) AS options (choice, name) LEFT JOIN votes USING (choice)
GROUP BY choice, name ORDER BY choice;
