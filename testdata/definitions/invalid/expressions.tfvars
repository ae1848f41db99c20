application_databases = {
  a = { database_name = var.name, username = "a_${var.env}" }
  b = { database_name = lower("B"), username = foo }
  c = { database_name = true ? "c" : "d", username = "c" == "c" }
  d = { database_name = "%{ if true }d%{ endif }", username = "${~ "d" ~}x" }
  e = { database_name = -(1), username = !true }
  f = { database_name = "f${1}", username = [for x in ["f"] : x] }
}
tags = merge({}, {})
