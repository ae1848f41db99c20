//! rdsprov as an AWS Lambda function.
//!
//! One program handles two kinds of events: a [`ProvisionEvent`] plans, applies or checks, as the
//! command does, and a [`RotationEvent`] is one step of a rotation by Secrets Manager. All rules are in
//! `rdsprov_core::session`: this crate reads events and writes results.
#![deny(missing_docs)]

mod event;
mod failure;
mod logging;
mod metrics;
mod provision;
mod records;
mod result;
mod rotation;
mod wording;

use std::pin::Pin;

pub use event::{Event, ProvisionEvent, Request, RotationEvent};
pub use failure::Failure;
use lambda_runtime::LambdaEvent;
pub use logging::start_logging;
use rdsprov_core::text::visible_json;
use serde_json::Value;
use serde_json::value::RawValue;

/// Returns the JSON text of a response, in which no character is hidden: it contains names of the server.
///
/// # Errors
/// Returns a [`Failure`] if JSON cannot represent the response.
pub fn visible_response(response: Value) -> Result<Box<RawValue>, Failure> {
    RawValue::from_string(visible_json(response.to_string())).map_err(Failure::internal)
}

/// Handles an event.
///
/// # Errors
/// Returns a [`Failure`], with which the runtime reports a function error, if the event is invalid or
/// the operation has failed.
pub async fn handle(event: LambdaEvent<Event>) -> Result<Value, Failure> {
    let (event, context) = event.into_parts();
    match event.0.map_err(Failure::event)? {
        // The futures of a run are large, and the compiler follows their types only so deep.
        Request::Provision(event) => {
            let run: Pin<Box<dyn Future<Output = _>>> = Box::pin(provision::run(*event, &context));
            run.await
        }
        Request::Rotation(event) => rotation::run(&event, &context).await.map(|()| Value::Null),
    }
}
