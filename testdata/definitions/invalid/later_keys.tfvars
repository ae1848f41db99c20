application_databases = {
  a = {
    database_name    = "a"
    username         = "a_user"
    schemas          = ["public"]
    extensions       = ["pgcrypto"]
    auth             = "iam"
    createdb         = true
    connection_limit = 5
    settings         = { work_mem = "4MB" }
  }
  b = {
    database_name    = "b"
    username         = "b_user"
    schemas          = "public"
    extensions       = [1]
    auth             = "kerberos"
    createdb         = "yes"
    connection_limit = 1.5
    settings         = { work_mem = 4 }
  }
}
