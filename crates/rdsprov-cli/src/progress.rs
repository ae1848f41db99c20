//! Shows what a run is doing while it takes longer than a second.
//!
//! The core reports each activity as an event. The last one is shown: on a terminal in a line that is
//! replaced, otherwise in a new line every few seconds.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdsprov_core::text::visible;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::style;

/// How long a run takes before it shows what it is doing.
const PATIENCE: Duration = Duration::from_secs(1);
/// The time between two lines in the log of a job.
const BETWEEN_LINES: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(200);

#[derive(Default)]
struct State {
    /// The last activity, and when the first one began.
    activity: Option<(String, Instant)>,
    /// When the last line was written to the log of a job.
    printed: Option<Instant>,
    is_drawn: bool,
}

static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes to stderr, after the line of the progress is removed.
pub fn without_line(write: impl FnOnce()) {
    let mut state = state();
    remove_line(&mut state);
    write();
}

/// Shows no activity until the next one begins.
pub fn end() {
    let mut state = state();
    remove_line(&mut state);
    state.activity = None;
}

fn remove_line(state: &mut State) {
    if std::mem::take(&mut state.is_drawn) {
        let _ = write!(io::stderr(), "\r\x1b[2K");
    }
}

/// Receives the activities, and shows them.
pub struct Progress;

impl Progress {
    pub fn start() -> Self {
        let is_terminal = io::stderr().is_terminal();
        thread::spawn(move || {
            loop {
                thread::sleep(TICK);
                show(&mut state(), is_terminal);
            }
        });
        Self
    }
}

fn show(state: &mut State, is_terminal: bool) {
    let Some((activity, since)) = &state.activity else { return };
    let elapsed = since.elapsed();
    if elapsed < PATIENCE {
        return;
    }
    let line = format!("… {activity} ({} s)", elapsed.as_secs());
    if is_terminal {
        let line: String = line.chars().take(style::width() - 1).collect();
        let _ = write!(io::stderr(), "\r\x1b[2K{line}");
        state.is_drawn = true;
    } else if state.printed.unwrap_or(*since).elapsed() >= BETWEEN_LINES {
        let _ = writeln!(io::stderr(), "{line}");
        state.printed = Some(Instant::now());
    }
}

impl<S: Subscriber> Layer<S> for Progress {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let mut state = state();
        let since = state.activity.take().map_or_else(Instant::now, |(_, since)| since);
        state.activity = Some((visible(&message.0), since));
    }
}

/// The message of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
