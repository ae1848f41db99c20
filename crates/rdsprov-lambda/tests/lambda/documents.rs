//! The examples in the guide are events that the function accepts.

use rdsprov_lambda::Event;

#[test]
fn examples_are_valid_events() {
    let guide = include_str!("../../../../docs/guides/lambda.md");
    let blocks = guide.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let events: Vec<&str> =
        blocks.filter(|text| text.contains("\"mode\"") || text.contains("\"Step\"")).collect();
    assert!(events.len() >= 6, "{events:?}");
    for text in events {
        let event: Event = serde_json::from_str(text).unwrap();
        assert!(event.is_valid(), "{text}: {event:?}");
    }
}

/// The state machine merges `event` of its input with a line of the list of instances.
#[test]
fn event_of_the_state_machine_is_valid() {
    let guide = include_str!("../../../../deploy/stepfunctions/README.md");
    let input = guide.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let input: serde_json::Value = serde_json::from_str(input).unwrap();
    for approval in [None, Some("sha256:0f6d2a7c91be")] {
        let mut event = input["event"].clone();
        event["instance"] = "orders-eu".into();
        if let Some(approval) = approval {
            event["approval"] = approval.into();
        }
        let parsed: Event = serde_json::from_value(event.clone()).unwrap();
        assert!(parsed.is_valid(), "{event}: {parsed:?}");
    }
}
