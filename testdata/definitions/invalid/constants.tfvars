timeout = 60 * minutes
names   = [for name in ["a"] : "${name}${other}"]
text    = "%{ for x in ["f"] }${x}%{ endfor }${x}"
sum     = 1 + length("a
b")
key     = { (other) = 1 }
application_databases = {
  (true ? "a" : "b") = { database_name = "a", username = "a_user" }
}
