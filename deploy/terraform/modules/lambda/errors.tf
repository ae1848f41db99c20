# A function that cannot run, or has no time left, writes no metrics of its own. Secrets Manager repeats
# a rotation that fails, and reports nothing but an event.

locals {
  functions = merge({ provision = aws_lambda_function.provision }, aws_lambda_function.rotation)
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  for_each            = local.functions
  alarm_name          = "${each.value.function_name}-errors"
  alarm_description   = "The function ${each.value.function_name} has failed."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = each.value.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}
