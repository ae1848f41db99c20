-- What the extension gave PUBLIC stays, and what the levels ask for does not concern it.
\connect shop
CREATE EXTENSION pg_stat_statements;
