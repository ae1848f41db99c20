//! A connection, or all of them, are cut after each message in either direction.

use rdsprov_testkit::Delivery;

use crate::operation::{ALL, Operation};
use crate::site::Site;
use crate::tried::{Tried, in_parallel, points, selected};

/// The points that are tried by default, for each operation.
const FEW: usize = 1;

#[test]
fn connection_is_cut_after_any_message() {
    let tried = Tried::default();
    in_parallel(&selected(&ALL), |(major, operation)| cut(major, operation, &tried));
    tried.report();
}

fn cut(major: u32, operation: Operation, tried: &Tried) {
    let mut site = Site::new(major, operation);
    // Each message with either kind of cut.
    for point in points(2 * site.messages, FEW) {
        let number = point.div_ceil(2);
        let delivery = if point % 2 == 0 { Delivery::CutAll } else { Delivery::CutConnection };
        let place = format!(
            "RDSPROV_FAULTS_OPERATION={operation:?} RDSPROV_FAULTS_POINT={point} RDSPROV_TEST_PG={major}: \
             {delivery:?} after message {number} of {}",
            site.messages
        );
        let kind = format!("{operation:?}, PostgreSQL {major}");
        let succeeded = tried.point(&kind, &place, || {
            let run = site.interrupt(
                &place,
                |relay| {
                    relay.decide(move |message| match message.number == number {
                        true => delivery,
                        false => Delivery::Deliver,
                    });
                },
                |_| {},
                || {},
            );
            site.verify(&place, &run);
            run.code
        });
        if !succeeded {
            site = Site::new(major, operation);
        }
    }
}
