//! Measures planning without a server: `bench-diff DEFINITIONS.json OBSERVED.json [ROUNDS]` prints
//! the median time of reading both and planning, and of planning alone, in milliseconds.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use rdsprov_core::definitions::{Definitions, Rules, SourceText, Syntax};
use rdsprov_core::desired::Desired;
use rdsprov_core::observed::Observed;
use rdsprov_core::plan::{Plan, SecretFindings};
use rdsprov_core::secret_id::Templates;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut file = || std::fs::read_to_string(arguments.next().unwrap_or_default());
    let (definitions, observed) = (file()?, file()?);
    let rounds = arguments.next().map_or(Ok(15), |text| text.parse())?;
    let (mut whole, mut alone) = (Vec::new(), Vec::new());
    let mut digest = String::new();
    for _ in 0..rounds {
        let source = SourceText {
            path: "definitions.json".to_owned(),
            text: definitions.clone(),
            syntax: Syntax::Json,
        };
        let started = Instant::now();
        let definitions = Definitions::parse(&[source], &Rules::default())?;
        let observed: Observed = serde_json::from_str(&observed)?;
        let half_way = Instant::now();
        let desired = Desired::new(&definitions, "dev", &Templates::default(), None)?;
        let plan = black_box(Plan::new(&desired, &observed, SecretFindings::default()));
        alone.push(half_way.elapsed().as_secs_f64() * 1000.0);
        whole.push(started.elapsed().as_secs_f64() * 1000.0);
        digest = plan.digest;
    }
    println!("{} {} {digest}", median(&mut whole), median(&mut alone));
    Ok(())
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
