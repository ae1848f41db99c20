variable "region" {
  type = string
}

variable "environment" {
  type = string
}

variable "application_databases" {
  description = "The applications, as rdsprov reads them."
  type        = any
}

variable "package" {
  description = "The path of rdsprov-lambda-VERSION-aarch64-unknown-linux-musl.zip."
  type        = string
}

variable "approval" {
  description = "The approval outside dev: the digest of the reviewed plan, as sha256:…"
  type        = string
  default     = null
}

variable "build_id" {
  description = "The build, for the records."
  type        = string
  default     = null
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "db_subnet_group_name" {
  type = string
}

variable "alarm_topic_arn" {
  description = "The SNS topic for alarms about drift and errors."
  type        = string
}
