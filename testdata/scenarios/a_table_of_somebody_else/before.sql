-- Its owner is the bootstrap superuser: nobody else can grant on it.
\connect shop
CREATE TABLE imported (id int);
