//! Times and memory of other programs.

use std::io::{Read as _, Seek as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one run of a program needed.
pub struct Run {
    pub milliseconds: f64,
    /// The highest resident size.
    pub mebibytes: f64,
}

/// Runs a program without its output; any other exit code than 0 is an error.
pub fn run(command: &mut Command) -> Result<Run, String> {
    // Not its environment, which contains a password.
    let words = format!("{:?} {:?}", command.get_program(), command.get_args());
    let failed = |what: &dyn std::fmt::Display| format!("{words}: {what}");
    let mut output = tempfile::tempfile().map_err(|error| failed(&error))?;
    let writer = || output.try_clone().map_err(|error| failed(&error));
    command.stdin(Stdio::null()).stdout(writer()?).stderr(writer()?);
    let started = Instant::now();
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut kibibytes = 0_u32;
    let status = loop {
        // The kernel reports the peak as long as the process exists.
        let text = std::fs::read_to_string(&status_file).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok());
        kibibytes = kibibytes.max(peak.unwrap_or(0));
        if let Some(status) = child.try_wait().map_err(|error| failed(&error))? {
            break status;
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
    if !status.success() {
        let mut text = String::new();
        output.rewind().and_then(|()| output.read_to_string(&mut text)).unwrap_or_default();
        let start = text.len().saturating_sub(2000);
        return Err(format!("{}: …{}", failed(&status), text.get(start..).unwrap_or_default()));
    }
    Ok(Run { milliseconds, mebibytes: f64::from(kibibytes) / 1024.0 })
}

/// The times of several runs of the same work, in milliseconds and in ascending order.
#[derive(Default)]
pub struct Times(Vec<f64>);

impl Times {
    pub fn add(&mut self, milliseconds: f64) {
        let at = self.0.partition_point(|one| *one <= milliseconds);
        self.0.insert(at, milliseconds);
    }

    pub fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }

    pub fn lowest(&self) -> f64 {
        self.0.first().copied().unwrap_or_default()
    }

    pub fn highest(&self) -> f64 {
        self.0.last().copied().unwrap_or_default()
    }
}

/// Runs a work and its floor in turns, so that a slow moment of the machine concerns both.
pub fn side_by_side(
    rounds: usize,
    mut work: impl FnMut() -> Result<f64, String>,
    mut floor: impl FnMut() -> Result<f64, String>,
) -> Result<(Times, Times), String> {
    let (mut of_work, mut of_floor) = (Times::default(), Times::default());
    for _ in 0..rounds {
        of_floor.add(floor()?);
        of_work.add(work()?);
    }
    Ok((of_work, of_floor))
}
