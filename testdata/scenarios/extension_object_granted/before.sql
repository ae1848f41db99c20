-- A declared role has a privilege in addition to those that the extension grants.
\connect shop
CREATE EXTENSION pg_stat_statements;
GRANT INSERT ON pg_stat_statements TO shop_reader;
