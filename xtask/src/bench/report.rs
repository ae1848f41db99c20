//! The results: a table for the terminal, JSON, and docs/performance.md.

use serde_json::{Value, json};

use super::measure::Times;

/// What was measured, with what it is compared with.
pub enum Measured {
    /// The time of a work, and of the least that any program needs for it.
    Ratio { work: Times, floor: Times, floor_is: &'static str },
    /// The time of a work without a floor.
    Time(Times),
    /// The highest resident size, in MiB.
    Memory(f64),
    /// A number that does not depend on the machine.
    Count(f64),
}

pub struct Row {
    pub work: String,
    pub measured: Measured,
    /// The highest ratio, time in milliseconds, size in MiB, or number; `None` for a figure without a goal.
    pub goal: Option<f64>,
}

impl Row {
    /// Returns the figure that is compared with the goal.
    fn figure(&self) -> f64 {
        match &self.measured {
            Measured::Ratio { work, floor, .. } => work.median() / floor.median(),
            Measured::Time(times) => times.median(),
            Measured::Memory(figure) | Measured::Count(figure) => *figure,
        }
    }

    fn holds(&self) -> Option<bool> {
        self.goal.map(|goal| self.figure() <= goal)
    }

    fn unit(&self) -> &'static str {
        match self.measured {
            Measured::Ratio { .. } => " ×",
            Measured::Time(_) => " ms",
            Measured::Memory(_) => " MiB",
            Measured::Count(_) => "",
        }
    }

    /// Returns the cells: work, result, time, floor, goal, whether it holds.
    fn cells(&self) -> [String; 6] {
        let spread = |times: &Times| {
            let (median, lowest, highest) = (times.median(), times.lowest(), times.highest());
            format!("{median:.0} ms ({lowest:.0}–{highest:.0})")
        };
        let (time, floor) = match &self.measured {
            Measured::Ratio { work, floor, floor_is } => {
                (spread(work), format!("{}: {floor_is}", spread(floor)))
            }
            Measured::Time(times) => (spread(times), String::new()),
            Measured::Memory(_) | Measured::Count(_) => (String::new(), String::new()),
        };
        let figure = |figure: f64| match self.measured {
            Measured::Ratio { .. } => format!("{figure:.2}{}", self.unit()),
            _ => format!("{figure:.0}{}", self.unit()),
        };
        let holds = match self.holds() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let goal = self.goal.map(|goal| format!("≤ {}", figure(goal))).unwrap_or_default();
        [self.work.clone(), figure(self.figure()), time, floor, goal, holds.to_owned()]
    }

    fn json(&self) -> Value {
        let times = |times: &Times| {
            json!({
                "median_ms": times.median(), "lowest_ms": times.lowest(), "highest_ms": times.highest()
            })
        };
        let mut row = json!({
            "work": self.work, "result": self.figure(), "unit": self.unit().trim(),
            "goal": self.goal, "holds": self.holds(),
        });
        match &self.measured {
            Measured::Ratio { work, floor, floor_is } => {
                row["time"] = times(work);
                row["floor"] = times(floor);
                row["floor_is"] = json!(floor_is);
            }
            Measured::Time(time) => row["time"] = times(time),
            Measured::Memory(_) | Measured::Count(_) => {}
        }
        row
    }
}

const HEADINGS: [&str; 6] = ["work", "result", "time", "floor", "goal", "holds"];

/// Returns the rows as one JSON document.
pub fn json(rows: &[Row], machine: &str) -> String {
    let rows: Vec<Value> = rows.iter().map(Row::json).collect();
    format!("{:#}\n", json!({ "machine": machine, "rows": rows }))
}

/// Returns a row for the terminal.
pub fn line(row: &Row) -> String {
    let [work, result, time, floor, goal, holds] = row.cells();
    let parts = [result, time, floor, goal, holds];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{work}: {}", parts.join(" | "))
}

/// Returns the table of docs/performance.md.
pub fn markdown(rows: &[Row]) -> String {
    let table_row = |cells: [String; 6]| format!("| {} |\n", cells.join(" | "));
    let headings = table_row(HEADINGS.map(str::to_owned));
    let rows: String = rows.iter().map(|row| table_row(row.cells())).collect();
    format!("{headings}|{}\n{rows}", "---|".repeat(HEADINGS.len()))
}
