-- What somebody gave a declared role beside what the extension gave.
\connect shop
CREATE EXTENSION pg_stat_statements;
GRANT INSERT ON pg_stat_statements TO shop_reader;
