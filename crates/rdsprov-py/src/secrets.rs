//! Reads secrets with a Python callable: `(secret_id) -> Mapping`.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyMapping;
use rdsprov_core::secret_id::SecretId;
use rdsprov_core::secrets::{Secret, SecretError, SecretProvider, SourceError};
use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

use crate::call::Call;
use crate::mapping;

/// Calls a Python function for each secret. An exception in it ends the call, which raises it again.
pub struct FromCallable {
    pub callable: Py<PyAny>,
    pub call: Arc<Call>,
}

impl SecretProvider for FromCallable {
    fn secret(&self, id: &SecretId) -> Result<Result<Secret, SecretError>, SourceError> {
        let text = Python::attach(|py| {
            let given = self.callable.bind(py).call1((&id.0,))?;
            if given.cast::<PyMapping>().is_err() {
                let kind = given.get_type().qualname()?;
                let message =
                    format!("secrets() has to return a mapping, and returned {kind} for {id}");
                return Err(PyTypeError::new_err(mapping::shown(&message)));
            }
            let mut value = mapping::to_json(&given, "the secret")?;
            let text = Zeroizing::new(value.to_string());
            wipe(&mut value);
            Ok(text)
        });
        match text {
            Ok(text) => Ok(Secret::parse(id, &text)),
            Err(error) => {
                // The text of the exception may contain a secret: the caller gets it, but no record does.
                let reason =
                    Python::attach(|py| error.get_type(py).qualname().map(|n| n.to_string()));
                let reason = reason.unwrap_or_default();
                self.call.keep(error);
                Err(SourceError::Provider { reason: format!("{reason} was raised for {id}") })
            }
        }
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(entries) => entries.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
