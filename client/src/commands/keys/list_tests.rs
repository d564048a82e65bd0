use kmi_proto::methods::quota::Failed;

use super::*;
use crate::fixtures;

#[test]
fn a_line_a_key() {
    insta::assert_snapshot!(fixtures::looks(|view| render(view, &fixtures::keys())));
}

#[test]
fn what_a_test_says() {
    let said = kmid_core::say!(quota_answered, status = 401_u16, row = "invalid_key");
    let failed =
        Failed { label: "gamma".into(), error: said.to_string(), error_said: Some(said), status: Some(401) };
    let asked = Refreshed { refreshed: vec!["alpha".into()], failed: vec![failed] };
    insta::assert_snapshot!(fixtures::looks(|view| render_test(view, &asked, &fixtures::keys(), true)));
}
