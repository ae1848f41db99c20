-- A table of a superuser that everybody may read: nobody needs to grant it to the reader.
\connect shop
CREATE TABLE countries (code char(2));
GRANT SELECT, INSERT, UPDATE, DELETE ON countries TO PUBLIC;
