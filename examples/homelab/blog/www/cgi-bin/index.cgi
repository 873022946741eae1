#!/bin/sh
# The page, with the number of its readers.
count=$(printf 'INCR readers\r\nQUIT\r\n' | nc db 6379 | sed -n 's/^:\([0-9]*\).*/\1/p')
printf 'Content-Type: text/html\r\n\r\n<!DOCTYPE html>\n<title>blog</title>\n'
printf '<p>Nothing to read yet. You are reader %s, served by %s.</p>\n' "${count:-unknown}" "$(hostname)"
