"""A migration that takes a row's lock and then waits for its engineer: DSN as argument.

It commits when it is sent a line. With --quick it commits at once, again and again.
"""

import sys
import time

import psycopg

PAUSE = 0.2

connection = psycopg.connect(sys.argv[1], application_name="migration")
while True:
    connection.execute("UPDATE stock SET quantity = quantity + 1 WHERE id = 1")
    if "--quick" in sys.argv:
        time.sleep(0.02)
        connection.commit()
        time.sleep(PAUSE)
    else:
        sys.stdin.readline()
        connection.commit()
