//! Three keys that open nothing, and the roles that the simulator plays for them.

use std::time::Duration;

use kmid_core::key::{BaseUrl, Key, Secret};

use crate::upstream::simulator::{Level, Pace, Preset, Script};

/// A demo key: label, value, priority.
struct DemoKey {
    label: &'static str,
    value: &'static str,
    priority: i32,
}

/// Its 5-hour window is nearly used and resets while the demo runs.
const ALPHA: DemoKey = DemoKey { label: "alpha", value: "sk-kimi-demo-alpha-opens-nothing", priority: 30 };
/// It gets a quota refusal after a few requests.
const BETA: DemoKey = DemoKey { label: "beta", value: "sk-kimi-demo-beta-opens-nothing", priority: 20 };
/// It has plenty.
const GAMMA: DemoKey = DemoKey { label: "gamma", value: "sk-kimi-demo-gamma-opens-nothing", priority: 10 };

/// Tokens that alpha's 5-hour window allows: a demo request is about 6 % of it.
const ALPHA_BUDGET: u64 = 5_000;
/// Just above the 20 % left under which a key counts as *warn* and would be passed over.
const ALPHA_USED: u64 = ALPHA_BUDGET * 78 / 100;
/// Soon enough for a person to see alpha come back.
const ALPHA_RESETS_IN: Duration = Duration::from_secs(45);
/// The first chat request that beta refuses.
const BETA_REFUSES_FROM: u64 = 4;

impl DemoKey {
    fn secret(&self) -> Secret {
        Secret::new(self.value)
    }
}

/// The demo keys, in pool order.
#[must_use]
pub fn keys(base_url: &BaseUrl) -> Vec<Key> {
    [ALPHA, BETA, GAMMA]
        .iter()
        .map(|key| Key { priority: key.priority, ..Key::new(key.label, key.secret(), base_url.clone()) })
        .collect()
}

/// The same keys as files of a key directory: name and content.
#[must_use]
pub fn files() -> Vec<(String, String)> {
    [ALPHA, BETA, GAMMA]
        .iter()
        .map(|key| {
            let content = format!(
                "KMI_API_KEY={}\nKMI_KEY_LABEL={}\nKMI_KEY_PRIORITY={}\n",
                key.value, key.label, key.priority
            );
            (format!("{}.env", key.label), content)
        })
        .collect()
}

/// What the simulator plays for the demo keys.
#[must_use]
pub fn script() -> Script {
    let nearly_used = Level { budget: ALPHA_BUDGET, used: ALPHA_USED, resets_in: Some(ALPHA_RESETS_IN) };
    let pace = Pace { first_byte: Duration::from_millis(40), between: Duration::from_millis(4) };
    Script { pace, ..Script::default() }
        .with(&ALPHA.secret(), Preset { five_hours: nearly_used, ..Preset::default() })
        .with(&BETA.secret(), Preset { refuse_from: Some(BETA_REFUSES_FROM), ..Preset::default() })
}

#[cfg(test)]
mod tests {

    use std::sync::Arc;

    use bytes::Bytes;
    use http::{Request, StatusCode};
    use http_body_util::{BodyExt, Full};
    use hyper::client::conn::http1::handshake;
    use hyper_util::rt::TokioIo;
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use super::super::client::Ask;
    use super::*;
    use crate::upstream::simulator::Simulator;

    /// How many of the demo's requests a key answers before it refuses one, of eight.
    async fn answers_of(secret: &Secret) -> usize {
        let simulator = Simulator::new(script().at_once());
        let (near, far) = tokio::io::duplex(4096);
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&simulator).serve(far, CancellationToken::new()));
        let (mut sender, connection) = handshake(TokioIo::new(near)).await.unwrap();
        tasks.spawn(async {
            connection.await.ok();
        });
        for number in 1..=8 {
            let ask = Ask::nth(number);
            let request = Request::post(ask.endpoint())
                .header("x-api-key", secret.expose())
                .body(Full::<Bytes>::from(ask.body(number)))
                .unwrap();
            sender.ready().await.unwrap();
            let response = sender.send_request(request).await.unwrap();
            let status = response.status();
            response.into_body().collect().await.unwrap();
            if status != StatusCode::OK {
                assert_eq!(status, StatusCode::FORBIDDEN);
                return usize::try_from(number).unwrap() - 1;
            }
        }
        8
    }

    #[tokio::test]
    async fn alpha_and_beta_run_out_within_the_twenty_requests_of_a_piped_demo() {
        assert_eq!(answers_of(&ALPHA.secret()).await, 4);
        assert_eq!(answers_of(&BETA.secret()).await, 3);
        assert_eq!(answers_of(&GAMMA.secret()).await, 8);
    }

    #[test]
    fn files_and_keys_say_the_same() {
        let keys = keys(&BaseUrl::parse("https://api.kimi.com/coding/v1").unwrap());
        assert_eq!(keys.len(), 3);
        assert!(keys.windows(2).all(|pair| pair[0].priority > pair[1].priority), "already in pool order");
        for (key, (name, content)) in keys.iter().zip(files()) {
            assert_eq!(name, key.source);
            assert!(content.contains(&format!("KMI_API_KEY={}\n", key.secret.expose())));
            assert!(content.contains(&format!("KMI_KEY_LABEL={}\n", key.label)));
            assert!(content.contains(&format!("KMI_KEY_PRIORITY={}\n", key.priority)));
            assert!(key.secret.expose().starts_with("sk-kimi-demo-"));
        }
    }
}
