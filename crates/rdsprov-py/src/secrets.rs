//! Reads secrets with a Python callable: `(secret_id) -> Mapping`.

use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PyMapping, PyString};
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
            json_of_secret(&given, id)
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

/// Returns the JSON text of what the callable returned. Who writes a secret decides about its content, and
/// must not end the run for the secrets of others: what JSON can contain is no exception, but an error
/// of this secret.
fn json_of_secret(given: &Bound<'_, PyAny>, id: &SecretId) -> PyResult<Zeroizing<String>> {
    let Ok(entries) = given.cast::<PyMapping>() else {
        if is_json(given) {
            return Ok(Zeroizing::new("[]".to_owned()));
        }
        let kind = given.get_type().qualname()?;
        let message = format!("secrets() has to return a mapping, and returned {kind} for {id}");
        return Err(PyTypeError::new_err(mapping::shown(&message)));
    };
    let mut known = serde_json::Map::new();
    for key in Secret::KEYS {
        if entries.contains(key)? {
            known.insert(key.to_owned(), value_of_key(&entries.get_item(key)?)?);
        }
    }
    let mut value = Value::Object(known);
    let text = Zeroizing::new(value.to_string());
    wipe(&mut value);
    Ok(text)
}

/// Returns the value of a key. Lists stand for all values that no key accepts.
fn value_of_key(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    let not_accepted = || Value::Array(Vec::new());
    if value.cast::<PyList>().is_ok() || value.cast::<PyDict>().is_ok() {
        return Ok(not_accepted());
    }
    match mapping::to_json(value, "the secret") {
        Err(error) if error.is_instance_of::<PyValueError>(value.py()) => Ok(not_accepted()),
        converted => converted,
    }
}

/// Returns whether a value has a type that JSON also has, other than an object.
fn is_json(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyInt>()
        || value.is_instance_of::<PyFloat>()
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(entries) => entries.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
