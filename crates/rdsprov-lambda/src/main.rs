//! Starts the Lambda function; everything else is in the library.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use rdsprov_lambda::{Event, handle, start_logging, visible_response};

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let function = async |event: LambdaEvent<Event>| handle(event).await.and_then(visible_response);
    lambda_runtime::run(service_fn(function)).await
}
