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
