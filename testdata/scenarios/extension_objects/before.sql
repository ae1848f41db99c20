-- Privileges that the extension grants to PUBLIC remain, and access levels do not cover its objects.
\connect shop
CREATE EXTENSION pg_stat_statements;
