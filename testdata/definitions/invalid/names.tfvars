application_databases = {
  sql      = { database_name = "x\"; DROP DATABASE prod; --", username = "a' OR '1'='1" }
  space    = { database_name = "my db", username = "my user" }
  reserved = { database_name = "postgres", username = "pg_monitor" }
  rds      = { database_name = "rdsadmin", username = "rds_superuser" }
  public   = { database_name = "template1", username = "PUBLIC" }
  empty    = { database_name = "", username = "" }
  long     = { database_name = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd", username = "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu" }
  nul      = { database_name = "a\u0000b", username = "nul_user" }
  umlaut   = { database_name = "käse", username = "1st" }
}
