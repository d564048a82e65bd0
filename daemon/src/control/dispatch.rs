//! From a method's name to its handler.

use kmi_proto::envelope::Request;
use kmi_proto::error::{Kind, RpcError};
use kmi_proto::method::Method;
use kmid_core::said::clipped;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::feed::Feed;
use super::socket::Peer;
use super::{Context, handlers};

/// What a session asks; the daemon's [`Context`] is the one behind the socket.
pub(super) trait Service: Send + Sync + 'static {
    /// Carries out one request.
    fn call(&self, request: Request, peer: Peer) -> impl Future<Output = Result<Reply, RpcError>> + Send;
    /// Ends the daemon; called when the answer to a [`Reply::Stop`] is written.
    fn stop(&self, force: bool, peer: Peer) -> impl Future<Output = ()> + Send;
}

/// What a request leads to.
#[derive(Debug)]
pub(super) enum Reply {
    /// Its result.
    Result(Value),
    /// A stream: the result is its subscription.
    Stream(Box<Feed>),
    /// An empty result, then the end of the daemon.
    Stop {
        /// At once.
        force: bool,
    },
}

impl Service for Context {
    async fn call(&self, request: Request, peer: Peer) -> Result<Reply, RpcError> {
        let Some(method) = Method::from_name(&request.method) else {
            return Err(unknown_method(&request.method));
        };
        let params = request.params;
        match method {
            Method::DaemonHello => result(handlers::daemon::hello(self, &read(params)?)),
            Method::DaemonStatus => {
                no_params(params)?;
                result(handlers::daemon::status(self).await)
            }
            Method::DaemonReload => {
                no_params(params)?;
                result(handlers::daemon::reload(self, peer).await?)
            }
            Method::DaemonCheckUpstreams => {
                no_params(params)?;
                result(handlers::daemon::check_upstreams(self).await?)
            }
            Method::DaemonRestart => {
                no_params(params)?;
                result(handlers::daemon::restart(self, peer).await?)
            }
            Method::DaemonStop => Ok(handlers::daemon::stop(&read(params)?)),
            Method::KeysList => result(handlers::keys::list(self, peer, &read(params)?).await?),
            Method::KeysUnblock => result(handlers::keys::unblock(self, peer, &read(params)?).await?),
            Method::KeysRecheck => result(handlers::keys::recheck(self, peer, read(params)?).await?),
            Method::ClientsConnect => result(handlers::clients::connect(self, peer, &read(params)?).await?),
            Method::ClientsDisconnect => {
                result(handlers::clients::disconnect(self, peer, &read(params)?).await?)
            }
            Method::RotationRotate => result(handlers::rotation::rotate(self, peer, &read(params)?).await?),
            Method::RotationPlan => {
                no_params(params)?;
                result(self.state.plan())
            }
            Method::RotationAuto => result(handlers::rotation::auto(self, peer, &read(params)?).await?),
            Method::QuotaRefresh => result(handlers::quota::refresh(self, peer, read(params)?).await?),
            Method::RequestsGet => result(handlers::requests::get(self, &read(params)?).await?),
            Method::RequestsTail => handlers::requests::tail(self, read(params)?).await.map(stream),
            Method::UsageGet => result(handlers::usage::get(self, read(params)?).await?),
            Method::MetricsGet => {
                no_params(params)?;
                result(handlers::metrics::get(self).await)
            }
            Method::LogsTail => handlers::logs::tail(self, read(params)?).await.map(stream),
            // Belongs to the connection: the session answers it.
            Method::StreamCancel => Err(unknown_method(&request.method)),
        }
    }

    async fn stop(&self, force: bool, peer: Peer) {
        handlers::daemon::carry_out_stop(self, force, peer).await;
    }
}

fn stream(feed: Feed) -> Reply {
    Reply::Stream(Box::new(feed))
}

fn result<T: Serialize>(value: T) -> Result<Reply, RpcError> {
    to_json(&value).map(Reply::Result)
}

fn no_params(params: Option<Value>) -> Result<(), RpcError> {
    read(params).map(|kmi_proto::method::Empty {}| ())
}

/// Parameters as the method takes them, by name or by position; missing ones are an empty object.
pub(super) fn read<P: DeserializeOwned>(params: Option<Value>) -> Result<P, RpcError> {
    let params = params.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    serde_json::from_value(params).map_err(|error| {
        let why = error.to_string();
        RpcError::new(Kind::InvalidParams, format!("the parameters do not fit: {}", clipped(&why)))
    })
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<Value, RpcError> {
    serde_json::to_value(value)
        .map_err(|error| RpcError::new(Kind::Internal, format!("the result has no JSON form: {error}")))
}

fn unknown_method(name: &str) -> RpcError {
    let known: Vec<_> = Method::ALL.iter().map(|method| method.name()).collect();
    let message = format!("no method is called {:?}; there are: {}", clipped(name), known.join(", "));
    RpcError::new(Kind::MethodNotFound, message)
}

#[cfg(test)]
mod tests {

    use kmi_proto::methods::{keys, logs, rotation};
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_by_name_by_position_and_missing() {
        let params: rotation::AutoParams = read(Some(json!({"enabled": true, "of_tomorrow": 1}))).unwrap();
        assert!(params.enabled);
        assert!(read::<rotation::AutoParams>(Some(json!([true]))).unwrap().enabled);
        assert_eq!(read::<keys::LabelParams>(None).unwrap().label, None);
        assert!(no_params(Some(json!([]))).is_ok() && no_params(Some(json!({}))).is_ok());
    }

    #[test]
    fn parameters_that_do_not_fit_are_named_briefly() {
        let error = read::<rotation::AutoParams>(None).unwrap_err();
        assert_eq!(error.code, -32602);
        assert!(error.message.contains("enabled"), "{error}");
        let error = read::<logs::TailParams>(Some(json!({"source": "x".repeat(100_000)}))).unwrap_err();
        assert!(error.message.len() < 300);
        assert!(unknown_method(&"m".repeat(100_000)).message.len() < 600);
    }
}
