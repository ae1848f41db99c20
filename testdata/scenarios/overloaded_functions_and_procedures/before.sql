-- Only the object type and the argument modes distinguish them.
\connect shop
SET SESSION AUTHORIZATION shop_owner;
CREATE FUNCTION pay(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE pay(int, OUT text) LANGUAGE sql AS 'SELECT NULL::text';
CREATE PROCEDURE send(int, text) LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE send(int, OUT text) LANGUAGE sql AS 'SELECT NULL::text';
CREATE AGGREGATE payments(*) (sfunc = int8inc, stype = int8, initcond = '0');
GRANT EXECUTE ON FUNCTION pay(int, text) TO shop_reader;
GRANT EXECUTE ON PROCEDURE pay(int, OUT text) TO shop_reader;
GRANT EXECUTE ON PROCEDURE send(IN int, IN text) TO shop_reader WITH GRANT OPTION;
GRANT EXECUTE ON PROCEDURE send(IN int, OUT text) TO shop_reader;
GRANT EXECUTE ON FUNCTION payments() TO shop_reader;
