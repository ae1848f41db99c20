output "function_name" {
  description = "The name of the function that provisions."
  value       = aws_lambda_function.provision.function_name
}

output "function_arn" {
  description = "The ARN of the function that provisions."
  value       = aws_lambda_function.provision.arn
}

output "rotation_function_arn" {
  description = "The ARN of the rotation function, or null."
  value       = one(values(aws_lambda_function.rotation)[*].arn)
}

output "role_name" {
  description = "The name of the IAM role of the function that provisions."
  value       = aws_iam_role.provision.name
}
