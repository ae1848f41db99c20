//! Shows what a run is doing while it takes longer than a second.
//!
//! The core reports each activity as an event. The last one is shown: on a terminal in a line that is
//! replaced, otherwise in a new line every few seconds.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rdsprov_core::text::visible;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// How long a run takes before it shows what it is doing.
const PATIENCE: Duration = Duration::from_secs(1);
/// The time between two lines in the log of a job.
const BETWEEN_LINES: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(200);

/// The line on a terminal.
static LINE: LazyLock<ProgressBar> = LazyLock::new(|| {
    let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    line.with_style(
        ProgressStyle::with_template("… {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    )
});

static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct State {
    /// The last activity, and when the first one began.
    activity: Option<(String, Instant)>,
    /// The instances of a fleet that have ended, and their number.
    instances: Option<(usize, usize)>,
    /// When the last line was written to the log of a job.
    printed: Option<Instant>,
}

impl State {
    fn get() -> MutexGuard<'static, Self> {
        STATE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what to show: nothing in the first second, and in the log of a job nothing soon after the last
    /// line.
    fn due(&self, is_terminal: bool) -> Option<String> {
        let (activity, since) = self.activity.as_ref()?;
        let elapsed = since.elapsed();
        let is_due = is_terminal || self.printed.unwrap_or(*since).elapsed() >= BETWEEN_LINES;
        if elapsed < PATIENCE || !is_due {
            return None;
        }
        let mut text = String::new();
        if let Some((ended, of)) = self.instances {
            let _ = write!(text, "{ended} of {of} instances, ");
        }
        let _ = write!(text, "{activity} ({} s)", elapsed.as_secs());
        Some(text)
    }

    fn show(&mut self, is_terminal: bool) {
        let Some(text) = self.due(is_terminal) else { return };
        if is_terminal {
            if LINE.is_hidden() {
                LINE.set_draw_target(ProgressDrawTarget::stderr());
            }
            LINE.set_message(text);
            LINE.tick();
        } else {
            let _ = writeln!(io::stderr(), "… {text}");
            self.printed = Some(Instant::now());
        }
    }
}

/// Writes to stderr or stdout while the line of the progress is removed.
pub fn without_line(write: impl FnOnce()) {
    let _state = State::get();
    LINE.suspend(write);
}

/// Shows no activity until the next one begins.
pub fn end() {
    State::get().activity = None;
    LINE.finish_and_clear();
    LINE.set_draw_target(ProgressDrawTarget::hidden());
    LINE.reset();
}

/// Counts the instances of a fleet from the start.
pub fn instances(count: usize) {
    State::get().instances = Some((0, count));
}

/// Counts an instance that has ended.
pub fn instance_ended() {
    if let Some((ended, _)) = &mut State::get().instances {
        *ended += 1;
    }
}

/// Receives the activities, and shows them.
pub struct Progress;

impl Progress {
    pub fn start() -> Self {
        let is_terminal = !ProgressDrawTarget::stderr().is_hidden();
        thread::spawn(move || {
            loop {
                thread::sleep(TICK);
                State::get().show(is_terminal);
            }
        });
        Self
    }
}

/// The instance of a span, with which its activities begin.
struct Instance(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Progress {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let name = Text::of("name", |text| attributes.record(text));
        if let Some(span) = context.span(id).filter(|_| !name.is_empty()) {
            span.extensions_mut().insert(Instance(name));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut activity = Text::of("message", |text| event.record(text));
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Instance(name)) = span.extensions().get() {
                activity = format!("{name}: {activity}");
            }
        }
        let mut state = State::get();
        let since = state.activity.take().map_or_else(Instant::now, |(_, since)| since);
        state.activity = Some((visible(&activity), since));
    }
}

/// The text of one field.
struct Text {
    field: &'static str,
    value: String,
}

impl Text {
    fn of(field: &'static str, record: impl FnOnce(&mut Self)) -> String {
        let mut text = Self { field, value: String::new() };
        record(&mut text);
        text.value
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == self.field {
            value.clone_into(&mut self.value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == self.field {
            self.value = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the log of a job, a fleet has a line every few seconds, with the number of instances that have ended.
    #[test]
    fn line_of_a_fleet_is_due_every_few_seconds() {
        let before = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        let state = |seconds, printed: Option<u64>| State {
            activity: Some(("db-2: reading 5 secrets".to_owned(), before(seconds))),
            instances: Some((1, 3)),
            printed: printed.map(before),
        };
        let line = state(100, None).due(false).unwrap();
        assert!(line.starts_with("1 of 3 instances, db-2: reading 5 secrets (10"), "{line}");
        assert!(state(100, Some(50)).due(false).is_some());
        assert_eq!(state(100, Some(0)).due(false), None);
        assert_eq!(state(2, None).due(false), None);
        // The line on a terminal is replaced.
        assert!(state(2, Some(0)).due(true).is_some());
        assert_eq!(state(0, None).due(true), None);
        assert_eq!(State::default().due(true), None);
    }
}
