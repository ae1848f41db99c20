//! `rdsprov.Definitions`: what the core read, and the texts that it read, so that it can read them again by
//! the rules of another environment.

use std::path::PathBuf;

use pyo3::basic::CompareOp;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyIterator, PyList, PyTuple};
use pythonize::pythonize;
use rdsprov_core::config::Config;
use rdsprov_core::definitions::{self as core, SourceText, Syntax};
use rdsprov_core::session::{self, ConfigText, DefinitionOptions, Setup};
use serde_json::{Map, Value};

use crate::errors;
use crate::mapping;
use crate::options;
use crate::values;

/// Declared applications: immutable, iterable, and a mapping of their names.
///
/// Made by `from_path`, `from_text`, `from_mapping` or `from_applications`.
#[pyclass(frozen, module = "rdsprov")]
pub struct Definitions {
    pub read: core::Definitions,
    sources: Vec<SourceText>,
    options: DefinitionOptions,
    config: Option<ConfigText>,
    applications: PyOnceLock<Py<PyTuple>>,
}

/// What every way of making them takes.
struct Reading {
    environment: Option<String>,
    mode: Option<String>,
    adopt: Vec<String>,
    config: Option<PathBuf>,
}

impl Reading {
    fn prepare(self, py: Python<'_>) -> PyResult<(DefinitionOptions, Option<ConfigText>)> {
        let mode = self.mode.map(|text| text.parse()).transpose();
        let options = DefinitionOptions {
            environment: self.environment,
            mode: mode.map_err(|error: String| errors::usage(py, &error))?,
            adopt: self.adopt,
        };
        let config = match self.config {
            Some(path) => Some(path),
            None => options::variable(py, "config")?.map(PathBuf::from),
        };
        let config =
            ConfigText::read(config.as_deref()).map_err(|e| errors::to_exception(py, &e))?;
        Ok((options, config))
    }
}

fn parsed(config: Option<&ConfigText>) -> Result<Config, session::Error> {
    config.map_or_else(|| Ok(Config::default()), ConfigText::parse)
}

impl Definitions {
    fn new(
        sources: Vec<SourceText>,
        options: DefinitionOptions,
        config: Option<ConfigText>,
    ) -> Result<Self, session::Error> {
        let read = session::declared(&parsed(config.as_ref())?, &sources, &options)?;
        Ok(Self { read, sources, options, config, applications: PyOnceLock::new() })
    }

    fn from_value(
        py: Python<'_>,
        mut value: Value,
        options: DefinitionOptions,
        config: Option<ConfigText>,
    ) -> PyResult<Self> {
        applications_by_name(&mut value).map_err(|message| errors::no_definitions(py, &message))?;
        let source = SourceText {
            path: "<mapping>".to_owned(),
            text: format!("{value:#}"),
            syntax: Syntax::Json,
        };
        Self::new(vec![source], options, config).map_err(|error| errors::to_exception(py, &error))
    }

    /// What a session works with; what is said here counts before what was said when they were read.
    pub fn setup(
        &self,
        environment: Option<String>,
        adopt: &[String],
        config: Option<ConfigText>,
    ) -> Result<Setup, session::Error> {
        let config = config.or_else(|| self.config.clone());
        let options = self.options_with(environment, adopt);
        let there = |options: &DefinitionOptions| {
            options.environment.clone().or_else(|| self.read.environment.clone())
        };
        let site = parsed(config.as_ref())?;
        // Read by the same rules, they say the same.
        if config == self.config
            && options.adopt == self.options.adopt
            && there(&options) == there(&self.options)
        {
            let sha256 = core::sha256(&self.sources);
            return Setup::with_definitions(
                site,
                self.read.clone(),
                sha256,
                options.environment.as_deref(),
            );
        }
        Setup::new(site, &self.sources, &options)
    }

    /// The same, read for an environment, if one is named.
    pub fn in_environment(
        &self,
        environment: Option<String>,
        adopt: &[String],
        config: Option<ConfigText>,
    ) -> Result<Self, session::Error> {
        let config = config.or_else(|| self.config.clone());
        let mut options = self.options_with(environment, adopt);
        let read = session::validated(&parsed(config.as_ref())?, &self.sources, &options)?;
        options.environment.clone_from(&read.environment);
        let sources = self.sources.clone();
        Ok(Self { read, sources, options, config, applications: PyOnceLock::new() })
    }

    /// What was said when they were read, and what is said now.
    fn options_with(&self, environment: Option<String>, adopt: &[String]) -> DefinitionOptions {
        DefinitionOptions {
            environment: environment.or_else(|| self.options.environment.clone()),
            mode: self.options.mode,
            adopt: self.options.adopt.iter().chain(adopt).cloned().collect(),
        }
    }

    fn json(&self) -> String {
        serde_json::to_string(&self.read).unwrap_or_default()
    }

    fn tuple<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyTuple>> {
        let make = || {
            let of = self.read.applications.values();
            values::values(py, "_application", of).map(Bound::unbind)
        };
        self.applications.get_or_try_init(py, make).map(|tuple| tuple.bind(py))
    }
}

/// Applications may stand in a sequence, each with its name; and one that stands at its name may say it
/// once more.
fn applications_by_name(value: &mut Value) -> Result<(), String> {
    let Value::Object(top) = value else { return Ok(()) };
    let coupled = top.get_mut("rds_config").and_then(|config| config.get_mut(APPLICATIONS));
    let coupled = coupled.map(index_by_name).transpose();
    let standalone = top.get_mut(APPLICATIONS).map(index_by_name).transpose();
    coupled.and(standalone).map(drop)
}

const APPLICATIONS: &str = "application_databases";

fn index_by_name(applications: &mut Value) -> Result<(), String> {
    if let Value::Array(entries) = applications {
        let mut named = Map::new();
        for (number, entry) in std::mem::take(entries).into_iter().enumerate() {
            let name = NAMES.iter().find_map(|key| entry.get(key)?.as_str().map(str::to_owned));
            let name = name.ok_or_else(|| {
                format!(
                    "{APPLICATIONS}[{number}] has no name; give it one, or write a mapping of names"
                )
            })?;
            if named.contains_key(&name) {
                return Err(format!(
                    "application `{name}` is declared twice; give each a name of its own"
                ));
            }
            named.insert(name, entry);
        }
        *applications = Value::Object(named);
    }
    let Value::Object(named) = applications else { return Ok(()) };
    for (name, entry) in named {
        let Value::Object(entry) = entry else { continue };
        for key in NAMES {
            if entry.get(key).and_then(Value::as_str) == Some(name.as_str()) {
                entry.remove(key);
            }
        }
    }
    Ok(())
}

/// What an application that says its own name calls it.
const NAMES: [&str; 2] = ["name", "application"];

#[pymethods]
impl Definitions {
    /// Reads `*.tfvars`, `*.tfvars.json`, `*.json` and `*.toml` files together; without any, those that
    /// `rdsprov.toml` names.
    #[staticmethod]
    #[pyo3(signature = (*paths, environment=None, mode=None, adopt=Vec::new(), config=None))]
    fn from_path(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        environment: Option<String>,
        mode: Option<String>,
        adopt: Vec<String>,
        config: Option<PathBuf>,
    ) -> PyResult<Self> {
        let (options, config) = Reading { environment, mode, adopt, config }.prepare(py)?;
        let read = py.detach(|| {
            let sources = session::read(&paths, &parsed(config.as_ref())?, &options)?;
            Self::new(sources, options, config)
        });
        read.map_err(|error| errors::to_exception(py, &error))
    }

    /// Reads a text in the syntax `hcl` (that of `*.tfvars`), `json` or `toml`; `path` is what errors call it.
    #[staticmethod]
    #[pyo3(signature = (text, *, syntax="hcl", path="<text>", environment=None, mode=None, adopt=Vec::new(), config=None))]
    #[allow(clippy::too_many_arguments, reason = "they are keywords")]
    fn from_text(
        py: Python<'_>,
        text: String,
        syntax: &str,
        path: &str,
        environment: Option<String>,
        mode: Option<String>,
        adopt: Vec<String>,
        config: Option<PathBuf>,
    ) -> PyResult<Self> {
        let (options, config) = Reading { environment, mode, adopt, config }.prepare(py)?;
        let syntax = syntax.parse().map_err(|error: String| errors::usage(py, &error))?;
        let source = SourceText { path: path.to_owned(), text, syntax };
        Self::new(vec![source], options, config).map_err(|error| errors::to_exception(py, &error))
    }

    /// Reads a mapping of the same shape as a file, or an object with the same attributes: dataclasses,
    /// models of pydantic or attrs and named tuples may stand anywhere in it.
    #[staticmethod]
    #[pyo3(signature = (mapping, *, environment=None, mode=None, adopt=Vec::new(), config=None))]
    fn from_mapping(
        mapping: &Bound<'_, PyAny>,
        environment: Option<String>,
        mode: Option<String>,
        adopt: Vec<String>,
        config: Option<PathBuf>,
    ) -> PyResult<Self> {
        let py = mapping.py();
        let (options, config) = Reading { environment, mode, adopt, config }.prepare(py)?;
        let value = mapping::to_json(mapping, "the mapping")?;
        Self::from_value(py, value, options, config)
    }

    /// Reads applications, each with its `name`: those of other definitions, or anything with the attributes.
    #[staticmethod]
    #[pyo3(signature = (applications, *, environment=None, aws_region=None, adopt=Vec::new(), config=None))]
    fn from_applications(
        applications: &Bound<'_, PyAny>,
        environment: Option<String>,
        aws_region: Option<String>,
        adopt: Vec<String>,
        config: Option<PathBuf>,
    ) -> PyResult<Self> {
        let py = applications.py();
        let reading = Reading { environment: environment.clone(), mode: None, adopt, config };
        let (options, config) = reading.prepare(py)?;
        let listed = applications.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        let mut top = Map::new();
        top.insert("environment".to_owned(), environment.into());
        top.insert("aws_region".to_owned(), aws_region.into());
        let listed = PyList::new(py, listed)?;
        top.insert(APPLICATIONS.to_owned(), mapping::to_json(&listed, "the applications")?);
        Self::from_value(py, Value::Object(top), options, config)
    }

    /// The environment, where it is known.
    #[getter]
    fn environment(&self) -> Option<&str> {
        self.options.environment.as_deref().or(self.read.environment.as_deref())
    }

    /// The AWS region, where a file names it.
    #[getter]
    fn aws_region(&self) -> Option<&str> {
        self.read.aws_region.as_deref()
    }

    /// Where the applications stand in the file.
    #[getter]
    fn mode<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        values::value(py, "Mode", &self.read.mode)
    }

    /// The applications, in the order of their names.
    #[getter]
    fn applications<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.tuple(py).cloned()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.tuple(py)?.try_iter()
    }

    fn __len__(&self) -> usize {
        self.read.applications.len()
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        let Ok(name) = name.extract::<String>() else { return false };
        self.read.applications.keys().any(|key| key.as_str() == name)
    }

    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let place = self.read.applications.keys().position(|key| key.as_str() == name);
        let place = place.ok_or_else(|| PyKeyError::new_err(name.to_owned()))?;
        self.tuple(py)?.get_item(place)
    }

    /// Plain data, as `rdsprov validate --format json` prints it.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.read)?)
    }

    /// The same as JSON.
    fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.read).unwrap_or_default()
    }

    fn __repr__(&self) -> String {
        let names: Vec<&str> = self.read.applications.keys().map(|name| name.as_str()).collect();
        let environment = self.environment().map_or("None".to_owned(), |name| format!("'{name}'"));
        format!("<Definitions environment={environment} applications=[{}]>", names.join(", "))
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        options::equality(
            py,
            op,
            other.cast::<Self>().ok().map(|other| self.json() == other.get().json()),
        )
    }

    fn __hash__(&self) -> u64 {
        options::hash_text(&self.json())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, DefinitionsState)> {
        let text_of =
            |one: &SourceText| (one.path.clone(), one.text.clone(), one.syntax.to_string());
        let state = (
            self.sources.iter().map(text_of).collect(),
            self.options.environment.clone(),
            self.options.mode.map(|mode| mode.to_string()),
            self.options.adopt.clone(),
            self.config.as_ref().map(|config| (config.path.clone(), config.text.clone())),
        );
        Ok((options::own(py, "restore_definitions")?, state))
    }
}

/// The texts with their paths and syntaxes, the options, and the text of `rdsprov.toml` with its path.
type DefinitionsState = (
    Vec<(String, String, String)>,
    Option<String>,
    Option<String>,
    Vec<String>,
    Option<(PathBuf, String)>,
);

/// Reads again what was pickled.
#[pyfunction]
pub fn restore_definitions(
    py: Python<'_>,
    sources: Vec<(String, String, String)>,
    environment: Option<String>,
    mode: Option<String>,
    adopt: Vec<String>,
    config: Option<(PathBuf, String)>,
) -> PyResult<Definitions> {
    let wrong = |error: String| errors::usage(py, &error);
    let source = |(path, text, syntax): (String, String, String)| {
        Ok(SourceText { path, text, syntax: syntax.parse()? })
    };
    let sources = sources.into_iter().map(source).collect::<Result<_, String>>().map_err(wrong)?;
    let mode = mode.map(|text| text.parse()).transpose().map_err(wrong)?;
    let options = DefinitionOptions { environment, mode, adopt };
    let config = config.map(|(path, text)| ConfigText { path, text });
    Definitions::new(sources, options, config).map_err(|error| errors::to_exception(py, &error))
}
