//! Converts Python values to JSON: mappings, sequences, and objects with attributes (dataclasses, models of
//! pydantic or attrs, named tuples, plain objects). The core interprets the result.

use std::borrow::Cow;
use std::fmt;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyMapping, PySet, PyString, PyTuple,
};
use rdsprov_core::definitions::KEYS;
use rdsprov_core::text::{visible, without_middle};
use serde_json::{Map, Number, Value};

/// The maximum depth of nesting, which also ends the conversion of a value that contains itself.
const MAX_DEPTH: usize = 32;

/// The attributes that are read from a plain object at the top level.
const TOP_LEVEL_KEYS: [&str; 5] =
    ["environment", "aws_region", "scope", "application_databases", "rds_config"];

/// What the values of a mapping may take together, in bytes: as much as a definitions file.
const MAX_SIZE: usize = 16 * 1024 * 1024;

/// What each value takes, in addition to its characters.
const VALUE_SIZE: usize = 24;

/// What the values that are still to be read may take. A small mapping can contain one list many times.
struct Budget(usize);

impl Budget {
    fn spend(&mut self, characters: usize) -> PyResult<()> {
        let left = self.0.checked_sub(characters + VALUE_SIZE);
        self.0 = left.ok_or_else(|| {
            PyValueError::new_err("the mapping is larger than a definitions file may be (16 MiB)")
        })?;
        Ok(())
    }
}

/// Where a value is. An error writes it out; to do so for each value would take the time of all keys above
/// the value again.
#[derive(Clone, Copy)]
enum Path<'a> {
    Top(&'a str),
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top(name) => f.write_str(name),
            Self::Key(above, key) => write!(f, "{above}.{key}"),
            Self::Item(above, number) => write!(f, "{above}[{number}]"),
        }
    }
}

/// Escapes and cuts a message that contains names of the caller.
#[pyfunction]
pub fn shown(message: &str) -> String {
    without_middle(visible(message))
}

fn invalid(message: impl fmt::Display) -> PyErr {
    PyValueError::new_err(shown(&message.to_string()))
}

fn of_wrong_type(message: impl fmt::Display) -> PyErr {
    PyTypeError::new_err(shown(&message.to_string()))
}

/// Converts a value to JSON. Errors name `path` instead of the value, which may be a secret.
pub fn to_json(value: &Bound<'_, PyAny>, path: &str) -> PyResult<Value> {
    convert(value, Path::Top(path), 0, &mut Budget(MAX_SIZE))
}

/// Returns a string. Python's own error would contain it, and it may be a password.
fn string(text: &Bound<'_, PyString>, path: Path<'_>) -> PyResult<String> {
    let not_unicode = |_| invalid(format_args!("{path} contains a lone surrogate"));
    text.to_cow().map(Cow::into_owned).map_err(not_unicode)
}

fn convert(
    value: &Bound<'_, PyAny>,
    path: Path<'_>,
    depth: usize,
    budget: &mut Budget,
) -> PyResult<Value> {
    budget.spend(0)?;
    if depth > MAX_DEPTH {
        return Err(invalid(format_args!("{path} is nested too deeply")));
    }
    if value.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(text) = value.cast::<PyString>() {
        let text = string(text, path)?;
        budget.spend(text.len())?;
        return Ok(Value::String(text));
    }
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(Value::Bool(flag.is_true()));
    }
    if value.is_instance(enum_class(value.py())?)? {
        return convert(&value.getattr("value")?, path, depth + 1, budget);
    }
    if value.is_instance_of::<PyInt>() {
        let number: Option<i64> = value.extract().ok();
        let too_large = || invalid(format_args!("{path} is too large a number"));
        return Ok(Value::Number(number.ok_or_else(too_large)?.into()));
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        let not_finite = || invalid(format_args!("{path} is not a finite number"));
        return Number::from_f64(number.value()).map(Value::Number).ok_or_else(not_finite);
    }
    if let Ok(entries) = value.cast::<PyDict>() {
        // A copy: reading a value runs code of the caller, which can change the dict.
        let entries = entries.items();
        return object(entries.iter().map(|entry| entry.extract()), path, depth, budget);
    }
    if let Some(fields) = fields(value)? {
        let entries = fields.into_iter().map(|name| {
            let name = PyString::new(value.py(), &name);
            Ok((name.clone().into_any(), value.getattr(&name)?))
        });
        return object(entries, path, depth, budget);
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return list(value, path, depth, budget);
    }
    if value.is_instance_of::<PySet>() || value.is_instance_of::<PyFrozenSet>() {
        let mut items = list(value, path, depth, budget)?;
        // Equal sets can have different orders of iteration, and equal inputs must give equal plans.
        if let Value::Array(items) = &mut items {
            items.sort_by_key(ToString::to_string);
        }
        return Ok(items);
    }
    if let Ok(mapping) = value.cast::<PyMapping>() {
        let items = mapping.items()?;
        let entries = items.iter().map(|item| item.extract());
        return object(entries, path, depth, budget);
    }
    let keys: &[&str] = if depth == 0 { &TOP_LEVEL_KEYS } else { &KEYS };
    let mut given = Vec::new();
    for name in keys.iter().chain(&["name", "application"]) {
        if let Some(attribute) = value.getattr_opt(*name)? {
            given.push((PyString::new(value.py(), name).into_any(), attribute));
        }
    }
    if given.is_empty() {
        let kind = value.get_type().qualname()?;
        return Err(of_wrong_type(format_args!(
            "{path} is of type {kind}: definitions are mappings, sequences, strings, numbers and bools, or objects that have their keys as attributes"
        )));
    }
    object(given.into_iter().map(Ok), path, depth, budget)
}

fn object<'py>(
    entries: impl Iterator<Item = PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)>>,
    path: Path<'_>,
    depth: usize,
    budget: &mut Budget,
) -> PyResult<Value> {
    let mut map = Map::new();
    for entry in entries {
        let (key, value) = entry?;
        let Ok(key) = key.cast::<PyString>() else {
            return Err(of_wrong_type(format_args!("{path} has a key that is not a string")));
        };
        let key = string(key, path)?;
        budget.spend(key.len())?;
        if map.contains_key(&key) {
            return Err(invalid(format_args!("{path} contains the key \"{key}\" twice")));
        }
        let value = convert(&value, Path::Key(&path, &key), depth + 1, budget)?;
        map.insert(key, value);
    }
    Ok(Value::Object(map))
}

fn list(
    items: &Bound<'_, PyAny>,
    path: Path<'_>,
    depth: usize,
    budget: &mut Budget,
) -> PyResult<Value> {
    let items = items.try_iter()?.enumerate();
    let item = |(number, item): (usize, PyResult<Bound<'_, PyAny>>)| {
        convert(&item?, Path::Item(&path, number), depth + 1, budget)
    };
    items.map(item).collect::<PyResult<_>>().map(Value::Array)
}

/// Returns the names of the fields that the class of an object declares, if it declares them.
fn fields(value: &Bound<'_, PyAny>) -> PyResult<Option<Vec<String>>> {
    let class = value.get_type();
    // dataclasses, pydantic 2, pydantic 1
    for attribute in ["__dataclass_fields__", "model_fields", "__fields__"] {
        if let Some(fields) = class.getattr_opt(attribute)?
            && let Ok(fields) = fields.cast::<PyDict>()
        {
            return fields.keys().extract().map(Some);
        }
    }
    if let Some(fields) = class.getattr_opt("__attrs_attrs__")? {
        let names = fields.try_iter()?.map(|field| field?.getattr("name")?.extract());
        return names.collect::<PyResult<_>>().map(Some);
    }
    match class.getattr_opt("_fields")? {
        Some(fields) if value.is_instance_of::<PyTuple>() => fields.extract().map(Some),
        _ => Ok(None),
    }
}

fn enum_class(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    CLASS
        .get_or_try_init(py, || py.import("enum")?.getattr("Enum").map(Bound::unbind))
        .map(|class| class.bind(py))
}
