use super::*;
use crate::fixtures;

#[test]
fn where_to_point_a_client() {
    let mut live = fixtures::status();
    live.mode = "live".into();
    insta::assert_snapshot!(fixtures::looks(|view| {
        format!("{}\n{}", render(view, &fixtures::status(), false), render(view, &live, true))
    }));
}
