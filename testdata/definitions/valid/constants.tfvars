timeout = 60 * 60
size    = true ? 1 : -(2)
flag    = !false
names   = [for name in ["a", "b"] : "${name}!" if name != ""]
by_name = { for index, name in ["a", "b"] : name => index }
first   = ["a", "b"][0]
inner   = { a = { b = 1 } }.a.b
text    = "%{ if true }yes%{ else }no%{ endif }%{ for x in ["f"] }${x}%{ endfor } ${~ "d" ~}"
number  = "f${1}"
by_sum  = { (1 + 1) = "two" }
rds_config = {
  timeout = 2 * 60
  application_databases = {
    shop = { database_name = "shop", username = "shop_user" }
  }
}
