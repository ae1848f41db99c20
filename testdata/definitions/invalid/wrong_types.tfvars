environment = 1
aws_region  = ["eu-west-2"]
application_databases = {
  a = { database_name = 1, username = true, access_level = ["owner"], secret = {}, adopt = "true" }
  b = "b"
  c = null
}
