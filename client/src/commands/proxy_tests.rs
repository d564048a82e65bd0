use super::*;
use crate::fixtures;

#[test]
fn where_to_point_a_client() {
    let mut live = fixtures::status();
    live.mode = "live".into();
    let dry = fixtures::status();
    let mut without_keys = fixtures::status();
    without_keys.keys.total = 0;
    let mut with_bad_keys = without_keys.clone();
    with_bad_keys.issues[0].level = "error".into();
    insta::assert_snapshot!(fixtures::looks(|view| {
        let own = ("KMI_PROXY_TOKEN", Said::plain("/home/a/.kmi/.env"));
        let named = ("KMI_PROXY_TOKENS", kmid_core::say!(source_environment));
        let tokens = [None, Some(&own), Some(&named)];
        let texts = tokens.map(|token| render(view, if token.is_some() { &live } else { &dry }, token));
        texts.join("\n")
            + "\n"
            + &render(view, &without_keys, None)
            + "\n"
            + &render(view, &with_bad_keys, None)
    }));
}
