-- The owner is the bootstrap superuser: no other role can grant privileges on it.
\connect shop
CREATE TABLE imported (id int);
