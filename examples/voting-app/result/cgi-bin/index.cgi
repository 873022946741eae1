#!/bin/sh
# The counts as the worker last read them from the database: lines such as "cats 2".
count() { awk -v choice="$1" '$1 == choice { found = $2 } END { print found + 0 }' /tally/counts; }
cat <<HTML
Content-Type: text/html
Refresh: 1

<!DOCTYPE html>
<title>$OPTION_A or $OPTION_B?</title>
<p>$OPTION_A: $(count "$OPTION_A")</p>
<p>$OPTION_B: $(count "$OPTION_B")</p>
HTML
