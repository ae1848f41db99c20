//! rdsprov-testkit
