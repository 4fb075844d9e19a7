//! Helpers for tests of the API server.

use std::time::Duration;

use pulltrace_testkit::kubernetes::{ADMIN, ApiServer, Client, KubernetesBinary, Watch};
use pulltrace_testkit::need;
use serde_json::Value;
use tokio::sync::OnceCell;

/// Timeout of every wait.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Starts an API server for one test; `None` if it is unavailable and the test is skipped.
pub(crate) async fn api_server() -> Option<ApiServer> {
    let binary = need::or_skip(KubernetesBinary::apiserver())?;
    Some(ApiServer::start(&binary).await.expect("started"))
}

/// Returns an admin client of the API server that all tests of this program share; each test uses
/// its own namespaces.
pub(crate) async fn admin() -> Option<Client> {
    static SHARED: OnceCell<ApiServer> = OnceCell::const_new();
    // Before the cell, so that each test reports its own skip.
    let binary = need::or_skip(KubernetesBinary::apiserver())?;
    let start = async || ApiServer::start(&binary).await.expect("started");
    let server = SHARED.get_or_init(start).await;
    // A client's connections end with the runtime of its test.
    Some(server.client(ADMIN).await.expect("a client"))
}

/// Returns the next event of a watch; `None` if the watch has ended.
pub(crate) async fn next(watch: &mut Watch) -> Option<Value> {
    let next = tokio::time::timeout(TIMEOUT, watch.next()).await;
    next.expect("watch event before the timeout")
}

/// Returns the type of the next event and the field `name` of its object.
pub(crate) async fn next_field(watch: &mut Watch, name: &str) -> (String, Value) {
    let event = next(watch).await.expect("watch continues");
    let kind = event["type"].as_str().expect("a type").to_owned();
    (kind, event["object"][name].clone())
}
