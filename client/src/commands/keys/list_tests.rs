use kmi_proto::methods::quota::Failed;

use super::*;
use crate::fixtures;

#[test]
fn a_line_a_key() {
    insta::assert_snapshot!(fixtures::looks(|view| render(view, &fixtures::keys())));
}

#[test]
fn what_a_test_says() {
    let failed = Failed { label: "gamma".into(), error: "/usages answered 401 (invalid_key)".into() };
    let asked = Refreshed { refreshed: vec!["alpha".into()], failed: vec![failed] };
    insta::assert_snapshot!(fixtures::looks(|view| render_test(view, &asked, &fixtures::keys(), true)));
}
