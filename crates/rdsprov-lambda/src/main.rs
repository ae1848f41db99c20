//! Starts the Lambda function; everything else is in the library.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use rdsprov_lambda::{Event, handle, start_logging};

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Event>| handle(event).await)).await
}
